"""News-Commentary: a gzip file of one sentence a line, with blank lines, a double and markup; or pairs with a tab."""

import gzip
from pathlib import Path

from tests.text import sentences

ROWS = 160
LEFT_OUT = {
    "empty": 2, "the same sentence came before": 1, "markup is left in it": 1, "no letter": 1, "more than 1000 characters": 1,
}  # fmt: skip


def lines() -> list[str]:
    kept = [f"{sentence} number {number}" for number, sentence in enumerate(sentences(40))]
    return [*kept[:3], "", *kept[3:], kept[0], "<p>The man reads.</p>", "12 - 14", "the man " * 200, " "]


def write(root: Path) -> Path:
    (root / "training-monolingual").mkdir(parents=True)
    path = root / "training-monolingual" / "news-commentary-v15.en.gz"
    path.write_bytes(gzip.compress(("\n".join(lines()) + "\n").encode("utf-8")))
    return root


def write_pairs(root: Path) -> Path:
    """German and English: English is the second column; the third line has one column alone."""
    rows = ["Der Mann liest.\tThe man reads.", "\t", "Die Frau liest.", "Die Königin geht.\tThe queen walks."]
    root.mkdir(parents=True)
    (root / "news-commentary-v15.de-en.tsv.gz").write_bytes(gzip.compress("\n".join(rows).encode("utf-8")))
    return root
