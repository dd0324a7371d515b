"""StereoSet: `dev.json`, sentences with a gap and three words to fill it with."""

from pathlib import Path

import pandas as pd

from biasmask.data.bias_benchmarks import read_stereoset
from biasmask.data.release import Release, find_file
from biasmask.data.table import Exclusion

FILE = "dev.json"
NOTES = (
    "the intrasentence part alone: the other needs a head for next sentences",
    "a row a filled sentence, three an item; target: stereotype, anti_stereotype or unrelated; term: whom it speaks of",
)


def read(source: Path, homepage: str) -> Release:
    """The filled sentences that the benchmark uses; items without one gap or without three labels are left out and counted."""
    path = find_file(source, [FILE], homepage)
    found = read_stereoset(path.parent)
    rows = [
        (f"{number}_{label}", item.before + getattr(item, label) + item.after, label, item.domain, item.target)
        for number, item in enumerate(found.items)
        for label in ("stereotype", "anti_stereotype", "unrelated")
    ]
    exclusions = [Exclusion(f"items, not rows: {reason}", count, []) for reason, count in found.excluded.items()]
    frame = pd.DataFrame(rows, columns=["id", "text", "target", "bias_type", "term"])
    return Release(frame, exclusions, NOTES, {FILE: path.read_bytes()})
