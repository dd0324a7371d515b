"""The nine tasks of GLUE as their zips hold them: 60 training and 40 development rows, and a test file without labels."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.text import FILLERS, JOBS, MALE

TRAIN, DEV = 60, 40
ROWS = {name: 100 for name in ("cola", "sst2", "mrpc", "stsb", "qnli", "rte", "wnli")} | {"qqp": 98, "mnli": 98}
LEFT_OUT: dict[str, dict[str, int]] = {
    "qqp": {"train.tsv: not 6 fields": 1, "a text is empty": 1},
    "mnli": {"no label that annotators agree on": 1, "a training row that stands in the development file too": 1},
}
ENTAILED = ("entailment", "not_entailment")


def text(number: int) -> str:
    word = JOBS[number % 2] if number % 3 else MALE[number % 2]
    return f'the {word} likes {FILLERS[number % 15]} {FILLERS[number // 15 % 15]} "{number}'


def table(path: Path, header: Sequence[str] | None, row: Callable[[int], Sequence[str]], numbers: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(header)] if header else []
    lines += ["\t".join(row(number)) for number in numbers]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def change(path: Path, line: int, text: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def second(number: int) -> str:
    return text(number) + " too"


def pair(number: int) -> list[str]:
    return [text(number), second(number)]


LAYOUTS: dict[str, tuple[str, Sequence[str] | None, Callable[[int], Sequence[str]]]] = {
    "cola": ("CoLA", None, lambda n: ["gj04", str(n % 2), "*" if n % 2 else "", text(n)]),
    "sst2": ("SST-2", ["sentence", "label"], lambda n: [text(n) + " ", str(n % 2)]),
    "mrpc": ("MRPC", ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], lambda n: [str(n % 2), "1", "2", *pair(n)]),
    "qqp": ("QQP", ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
            lambda n: [str(n), "1", "2", *pair(n), str(n % 2)]),
    "stsb": ("STS-B", ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2",
                       "score"],
             lambda n: [str(n), "g", "f", "2012", "1", "s", "s", *pair(n), f"{n % 11 / 2:.3f}"]),
    "mnli": ("MNLI", ["index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse",
                      "sentence1_parse", "sentence2_parse", "sentence1", "sentence2", "label1", "gold_label"],
             lambda n: [str(n), "1", "1e", "fiction", "( a )", "( b )", "(ROOT a)", "(ROOT b)", *pair(0 if n == TRAIN else n),
                        "neutral", "-" if n == 1 else ("entailment", "neutral", "contradiction")[n % 3]]),
    "qnli": ("QNLI", ["index", "question", "sentence", "label"], lambda n: [str(n), *pair(n), ENTAILED[n % 2]]),
    "rte": ("RTE", ["index", "sentence1", "sentence2", "label"], lambda n: [str(n), *pair(n), ENTAILED[n % 2]]),
    "wnli": ("WNLI", ["index", "sentence1", "sentence2", "label"], lambda n: [str(n), *pair(n), str(n % 2)]),
}  # fmt: skip


def write(root: Path, task: str) -> Path:
    folder, header, row = LAYOUTS[task]
    dev = "dev_matched.tsv" if task == "mnli" else "dev.tsv"
    table(root / folder / "train.tsv", header, row, range(TRAIN))
    table(root / folder / dev, header, row, range(TRAIN, TRAIN + DEV))
    if task == "qqp":
        change(root / folder / "train.tsv", 9, "a question\twithout the rest")
        change(root / folder / dev, 2, "\t".join(["60", "1", "2", "", "why", "0"]))
    table(root / folder / "test.tsv", ["index", "sentence"], lambda n: [str(n), text(n)], range(5))
    return root
