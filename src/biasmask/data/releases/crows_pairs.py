"""CrowS-Pairs: `crows_pairs_anonymized.csv`, pairs of sentences of which one stereotypes more."""

from pathlib import Path

import pandas as pd

from biasmask.data.bias_benchmarks import read_crows_pairs
from biasmask.data.release import Release, find_file

FILE = "crows_pairs_anonymized.csv"


def read(source: Path, homepage: str) -> Release:
    """The pairs, a row a pair: `text` is the sentence that stereotypes more, `text_b` the other; target: the kind of bias."""
    path = find_file(source, [FILE], homepage)
    pairs = read_crows_pairs(path.parent)
    frame = pd.DataFrame(
        {
            "id": [str(number) for number in range(len(pairs))],
            "text": [pair.stereotyped for pair in pairs],
            "text_b": [pair.other for pair in pairs],
            "target": [pair.bias_type for pair in pairs],
            "stereo_antistereo": [pair.direction for pair in pairs],
        }
    )
    return Release(frame, [], ("text: sent_more; text_b: sent_less; target: bias_type",), {FILE: path.read_bytes()})
