"""WinoBias: eight files in WinoBias/wino/data of the repository; in the test files of type 2 one pair differs in a name."""

from pathlib import Path

ROWS = 30
LEFT_OUT = {"pairs, not rows: the two sentences differ in more than pronouns": 1}
PAIRS = [
    ("engineer", "nurse", "he", "she"), ("nurse", "engineer", "she", "he"), ("pilot", "clerk", "he", "she"),
    ("clerk", "pilot", "she", "he"),
]  # fmt: skip


def write(root: Path) -> Path:
    folder = root / "WinoBias" / "wino" / "data"
    folder.mkdir(parents=True)
    for kind in (1, 2):
        for split in ("dev", "test"):
            for side in ("pro", "anti"):
                rows = []
                for number, (who, other, pro, anti) in enumerate(PAIRS, start=1):
                    end = "today" if (kind, split, side, number) != (2, "test", "anti", 4) else "tomorrow"
                    pronoun = pro if side == "pro" else anti
                    rows.append(f"{number} [The {who}] greeted the {other} because [{pronoun}] reads {end}.")
                (folder / f"{side}_stereotyped_type{kind}.txt.{split}").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
