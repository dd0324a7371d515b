"""PAD-UFES-20: metadata.csv with 26 columns, PNG files in images/imgs_part_1 to 3."""

from pathlib import Path

import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

ROWS = 95
LEFT_OUT = {"image file not found": 1}


def write(root: Path) -> Path:
    """96 photographs of 48 patients; every eighth patient answered nothing; one picture isn't there."""
    count = 96
    silent = [number // 2 % 8 == 7 for number in range(count)]
    frame = pd.DataFrame(
        {
            "patient_id": [f"PAT_{n // 2 + 46}" for n in range(count)],
            "lesion_id": range(881, 881 + count),
            "smoke": [None if s else False for s in silent],
            "drink": [None if s else True for s in silent],
            "background_father": [None if s else "POMERANIA" for s in silent],
            "background_mother": [None if s else "POMERANIA" for s in silent],
            "age": cycle([55, 30, 71, 8], count, 2),
            "pesticide": [None if s else False for s in silent],
            "gender": [None if s else g for s, g in zip(silent, cycle(["FEMALE", "MALE"], count, 4), strict=True)],
            "skin_cancer_history": [None if s else True for s in silent],
            "cancer_history": [None if s else True for s in silent],
            "has_piped_water": [None if s else True for s in silent],
            "has_sewage_system": [None if s else True for s in silent],
            "fitspatrick": [None if s else t for s, t in zip(silent, cycle([1.0, 3.0, 2.0, 5.0], count, 2), strict=True)],
            "region": "NECK",
            "diameter_1": [None if s else 6.0 for s in silent],
            "diameter_2": [None if s else 5.0 for s in silent],
            "diagnostic": cycle(["BCC", "NEV", "ACK", "MEL", "SEK", "SCC", "BCC", "ACK"], count),
            "itch": cycle(["True", "False", "UNK"], count),
            "grew": "True",
            "hurt": "False",
            "changed": "UNK",
            "bleed": "True",
            "elevation": "True",
            "img_id": [f"PAT_{n // 2 + 46}_{881 + n}_{n}.png" for n in range(count)],
            "biopsed": cycle([True, False], count),
        }
    )
    root.mkdir(parents=True)
    frame.to_csv(root / "metadata.csv", index=False)
    for number, name in enumerate(frame["img_id"][:-1]):
        picture(root / "images" / f"imgs_part_{number % 3 + 1}" / name, number)
    return root
