"""ISIC 2017: three parts, each with ground truth, a metadata table among its pictures, and superpixel masks beside them."""

from pathlib import Path

import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

ROWS = 119
LEFT_OUT = {"image file not found": 1}


def write(root: Path) -> Path:
    """60, 24 and 36 pictures; age is a text in which `unknown` occurs; one file isn't there."""
    for number, (part, count) in enumerate({"Training": 60, "Validation": 24, "Test_v2": 36}.items()):
        folder = root / f"ISIC-2017_{part}_Data"
        folder.mkdir(parents=True)
        names = [f"ISIC_{number}{n:06d}" for n in range(count)]
        truth = {"image_id": names, "melanoma": cycle([1.0, 0.0, 0.0], count)}
        truth["seborrheic_keratosis"] = cycle([0.0, 1.0, 0.0], count)
        pd.DataFrame(truth).to_csv(root / f"ISIC-2017_{part}_Part3_GroundTruth.csv", index=False)
        ages, sexes = cycle(["45", "60", "unknown", "75", "30"], count, 3), cycle(["male", "female", "unknown"], count, 6)
        about = {"image_id": names, "age_approximate": ages, "sex": sexes}
        pd.DataFrame(about).to_csv(folder / f"ISIC-2017_{part}_Data_metadata.csv", index=False)
        for n, name in enumerate(names[: count - (part == "Test_v2")]):
            picture(folder / f"{name}.jpg", 1000 * number + n)
            if n < 3:
                picture(folder / f"{name}_superpixels.png", n)
    return root
