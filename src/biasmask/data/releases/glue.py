"""GLUE: the TSV files of each task as its zip holds them, `train.tsv` and `dev.tsv`; the test files have no labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from biasmask.data.release import Release, exclude
from biasmask.data.table import EXAMPLES, Exclusion
from biasmask.data.text_lines import lines_of
from biasmask.data.values import shown
from biasmask.errors import ConfigError, DataError, near_names

BROKEN = 0.01  # share of rows with another number of fields above which a file is refused: QQP has a few as published
TRAIN, DEV = ("train.tsv",), ("dev.tsv",)
NOT_ENTAILED = ("entailment", "not_entailment")


@dataclass(frozen=True)
class Task:
    """How a task's files are laid out.

    Args:
        folder: of the zip.
        texts: columns of the one or two texts.
        label: column of the label.
        names: labels in the order of their numbers; empty = a score.
        header: whether the files begin with column names; else columns are numbered.
        train, test: names of the files.
    """

    folder: str
    texts: tuple[str, ...]
    label: str
    names: tuple[str, ...] = ("0", "1")
    header: bool = True
    train: tuple[str, ...] = TRAIN
    test: tuple[str, ...] = DEV


PAIR = ("sentence1", "sentence2")
TASKS = {
    "cola": Task("CoLA", ("3",), "1", header=False),
    "sst2": Task("SST-2", ("sentence",), "label"),
    "mrpc": Task(
        "MRPC", ("#1 String", "#2 String"), "Quality",
        train=("train.tsv", "msr_paraphrase_train.txt"), test=("dev.tsv", "msr_paraphrase_test.txt"),
    ),
    "qqp": Task("QQP", ("question1", "question2"), "is_duplicate"),
    "stsb": Task("STS-B", PAIR, "score", names=()),
    "mnli": Task("MNLI", PAIR, "gold_label", ("entailment", "neutral", "contradiction"), test=("dev_matched.tsv",)),
    "qnli": Task("QNLI", ("question", "sentence"), "label", NOT_ENTAILED),
    "rte": Task("RTE", PAIR, "label", NOT_ENTAILED),
    "wnli": Task("WNLI", PAIR, "label"),
}  # fmt: skip


def read(source: Path, homepage: str, task: str) -> Release:
    """A task of GLUE; `train` is its training file, `test` its development file, as the labels of the test file are secret.

    `target` is the number of the label (STS-B: the score, 0 to 5), `label` its official name. A training row whose texts stand in
    the development file as well is left out.

    Args:
        task: cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte or wnli.

    Raises:
        ConfigError: no such task.
        DataError: no such file, a missing column, an unknown label, many rows with another number of fields.
    """
    if task not in TASKS:
        raise ConfigError(f"GLUE has no task '{task}'{near_names(task, list(TASKS))} there are {shown(list(TASKS))}")
    layout, exclusions = TASKS[task], list[Exclusion]()
    parts = []
    for split, names in (("train", layout.train), ("test", layout.test)):
        path = _find(source, layout, names, homepage)
        part = _read_tsv(path, layout, homepage, exclusions)
        part.insert(0, "split", split)
        part.insert(0, "id", split + "_" + part.pop("line").astype(str))
        parts.append(_labelled(part, layout, path, exclusions))
    frame = pd.concat(parts, ignore_index=True)
    texts = [column for column in ("text", "text_b") if column in frame]
    frame = exclude(frame, (frame[texts] == "").any(axis=1).to_numpy(), "a text is empty", exclusions)
    keys = frame[texts].agg("\t".join, axis=1) if len(texts) > 1 else frame["text"]
    train = (frame["split"] == "train").to_numpy()
    leaked = train & keys.isin(set(keys[~train])).to_numpy()
    frame = exclude(frame, leaked, "a training row that stands in the development file too", exclusions)
    return Release(frame, exclusions, ("train: the training file; test: the development file, whose labels are published",))


def _find(source: Path, layout: Task, names: tuple[str, ...], homepage: str) -> Path:
    """The file in the task's folder, wherever that lies, or beside nothing else: in the source itself."""
    for name in names:
        places = [source / name, *sorted(source.rglob(f"{layout.folder}/{name}"))]
        for place in places:
            if place.is_file():
                return place
    raise DataError(f"there is no {layout.folder}/{' nor '.join(names)} below {source}; get it from {homepage}")


def _read_tsv(path: Path, layout: Task, homepage: str, exclusions: list[Exclusion]) -> pd.DataFrame:
    """The texts and the label of each row, with its line; no quoting, as the files have single quotation marks."""
    rows = _cells(path)
    first, header = next(rows, (1, []))
    names = header if layout.header else [str(number) for number in range(len(header))]
    wanted = [*layout.texts, layout.label]
    lacking = [name for name in wanted if name not in names]
    if lacking:
        has = shown(names) or "nothing"
        raise DataError(f"{path} line 1 has no column {', '.join(lacking)} (it has {has}); take the file from {homepage}")
    places = [names.index(name) for name in wanted]
    kept = [] if layout.header else [(first, *(header[place] for place in places))]
    broken: list[int] = []
    for line, cells in rows:
        if len(cells) == len(names):
            kept.append((line, *(cells[place].strip() for place in places)))
        else:
            broken.append(line)
    if len(broken) > max(1, BROKEN * len(kept)):
        raise DataError(f"{path} line {broken[0]}, and {len(broken) - 1} more: not {len(names)} fields; is it whole, with tabs?")
    if broken and broken[-1] > kept[-1][0]:
        raise DataError(f"{path} line {broken[-1]}, its last: not {len(names)} fields; it is cut off: get it from {homepage}")
    if broken:
        examples = [f"{path.name}:{line}" for line in broken[:EXAMPLES]]
        exclusions.append(Exclusion(f"{path.name}: not {len(names)} fields", len(broken), examples))
    return pd.DataFrame(kept, columns=["line", *("text", "text_b")[: len(layout.texts)], "label"])


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in lines_of(path):
        if text is None:
            raise DataError(f"{path} line {line}: more than a million bytes; is it a table?")
        if text:
            yield line, text.split("\t")


def _labelled(part: pd.DataFrame, layout: Task, path: Path, exclusions: list[Exclusion]) -> pd.DataFrame:
    """With the column `target`; MNLI's `-` (the annotators didn't agree) is left out."""
    part = exclude(part, (part["label"] == "-").to_numpy(), "no label that annotators agree on", exclusions)
    if layout.names:
        target = part["label"].map({name: number for number, name in enumerate(layout.names)})
        expected = f"one of {', '.join(layout.names)}"
    else:
        target = pd.to_numeric(part["label"], errors="coerce")
        target, expected = target.where(target.between(0, 5)), "a score of 0 to 5"
    wrong = target.isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        line = part["id"].iloc[row].rpartition("_")[2]
        raise DataError(f"{path} line {line}, column '{layout.label}': expected {expected}, got {part['label'].iloc[row]!r}")
    part = part if layout.names else part.drop(columns="label")
    return part.assign(target=target.astype(np.int64 if layout.names else np.float64))
