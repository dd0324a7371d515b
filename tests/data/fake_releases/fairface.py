"""FairFace: two label tables, faces in train/ and val/ whose names repeat."""

from pathlib import Path

import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

RACES = ["East Asian", "Indian", "Black", "White", "Middle Eastern", "Latino_Hispanic", "Southeast Asian"]
AGES = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]
ROWS = 251
LEFT_OUT = {"image file not found": 1}


def write(root: Path) -> Path:
    """168 and 84 faces; one isn't there."""
    root.mkdir(parents=True)
    for part, count in {"train": 168, "val": 84}.items():
        frame = pd.DataFrame(
            {
                "file": [f"{part}/{n}.jpg" for n in range(1, count + 1)],
                "age": cycle(AGES, count, 5),
                "gender": cycle(["Male", "Female"], count, 7),
                "race": cycle(RACES, count),
                "service_test": cycle([True, False], count),
            }
        )
        frame.to_csv(root / f"fairface_label_{part}.csv", index=False)
        for n, file in enumerate(frame["file"].iloc[int(part == "val") :]):
            picture(root / file, n + 1000 * (part == "val"))
    return root
