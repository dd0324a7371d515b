"""WinoBias: `{pro,anti}_stereotyped_type{1,2}.txt.{dev,test}`, sentences of two professions and a pronoun."""

from pathlib import Path

import pandas as pd

from biasmask.data.profession_pairs import read_winobias
from biasmask.data.release import Release, find_file
from biasmask.data.table import Exclusion

FILES = [f"{side}_stereotyped_type{kind}.txt.{split}" for kind in (1, 2) for split in ("dev", "test") for side in ("pro", "anti")]
NOTES = ("a row a sentence, two a pair: one with a man's pronoun, one with a woman's; target: whether the stereotype has it so",)


def read(source: Path, homepage: str) -> Release:
    """The pairs that differ in the pronoun alone; `gender` is that of the pronoun, `profession_gender` that of the stereotype."""
    paths = {name: find_file(source, [name], homepage) for name in FILES}
    rows, gone = [], 0
    for split in ("dev", "test"):
        found = read_winobias(paths[FILES[0]].parent, splits=(split,))
        gone += sum(found.excluded.values())
        for number, pair in enumerate(found.pairs):
            for gender, sentence in (("male", pair.male), ("female", pair.female)):
                target = "pro" if gender == pair.profession_gender else "anti"
                place = "val" if split == "dev" else "test"
                rows.append((f"{split}_{number}_{gender}", sentence.text, target, place, gender, pair))
    frame = pd.DataFrame([row[:5] for row in rows], columns=["id", "text", "target", "split", "gender"])
    frame["profession"] = [row[5].profession for row in rows]
    frame["profession_gender"] = [row[5].profession_gender for row in rows]
    frame["kind"] = [row[5].kind for row in rows]
    exclusions = [Exclusion("pairs, not rows: the two sentences differ in more than pronouns", gone, [])] if gone else []
    return Release(frame, exclusions, NOTES, {name: path.read_bytes() for name, path in paths.items()})
