"""DDI: `ddi_metadata.csv` and PNG files beside it."""

from pathlib import Path

import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

ROWS = 71
LEFT_OUT = {"image file not found": 1}


def write(root: Path) -> Path:
    """72 rows; the last one's picture isn't there."""
    count = 72
    frame = pd.DataFrame(
        {
            "DDI_ID": range(1, count + 1),
            "DDI_file": [f"{n:06d}.png" for n in range(1, count + 1)],
            "skin_tone": cycle([12, 34, 56], count),
            "malignant": cycle(["TRUE", "FALSE"], count, 3),
            "disease": "melanocytic-nevi",
        }
    )
    root.mkdir(parents=True)
    frame.to_csv(root / "ddi_metadata.csv")
    for number, name in enumerate(frame["DDI_file"][:-1]):
        picture(root / name, number)
    return root
