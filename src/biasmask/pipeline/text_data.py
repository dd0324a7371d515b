"""From the data node of a text run to its sentences: files, word lists, extraction, parts."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from biasmask.data.package_corpora import package_corpus
from biasmask.data.sentence_splits import split_sentences
from biasmask.data.sentences import extract
from biasmask.data.word_lists import load_word_lists
from biasmask.errors import ConfigError
from biasmask.pipeline.setup import progress_bar
from biasmask.pipeline.text_stages import Sentences
from biasmask.pipeline.text_state import TextState


def open_sentences(
    node: DictConfig, attribute: str, original: TextState, cache_dir: Path, progress: bool
) -> tuple[Sentences, dict[str, Any]]:
    """Extract the sentences with words of an attribute, or take them from the cache, and divide them.

    Args:
        node: the `data` node of a text run.
        attribute: name of packaged word lists, a YAML file, or a folder.
        original: whose tokenizer cuts the sentences.
        cache_dir: where the extraction is kept.
        progress: whether to draw a bar.
    Returns:
        The sentences, and the report of the checker.
    Raises:
        ConfigError: neither files nor a package, or several attributes at once.
        DataError: whatever is wrong with files or word lists.
    """
    if not isinstance(attribute, str):
        raise ConfigError(f"attribute={attribute}: a text run debiases one attribute: name one word list, as attribute=gender")
    lists = load_word_lists(attribute)
    if (node.files is None) == (node.package is None):
        raise ConfigError("data.files and data.package: give one of the two")
    files: Any = OmegaConf.to_container(node.files) if OmegaConf.is_list(node.files) else node.files
    if node.package is not None:
        files = package_corpus(node.package, cache_dir)
    limit = min(node.max_length, original.tokenizer.model_max_length)
    with progress_bar("extract", progress) as update:
        table = extract(
            files,
            lists,
            original.tokenizer,
            original.tokenizer_key,
            cache_dir,
            max_length=limit,
            encoding=node.encoding,
            processes=node.processes,
            progress=update,
        )
    parts = split_sentences(table, node.split_seed, node.held_out, node.per_kind, node.balance)
    sentences = Sentences(
        table, {part: parts[part] for part in ("train", "held_out")}, node.name, lists.name, node.tokens_per_batch, lists
    )
    counts = {part: {kind: len(rows) for kind, rows in kinds.items()} for part, kinds in sentences.parts.items()}
    notes = [*table.report["notes"], *parts["notes"]]
    return sentences, {**table.report, "notes": notes, "counts": table.counts(), "parts": counts}
