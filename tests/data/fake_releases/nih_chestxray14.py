"""NIH ChestX-ray14: Data_Entry_2017_v2020.csv with its odd header, two lists, grey PNG files in images_001 to 003."""

from pathlib import Path

from tests.data.fake_releases.parts import cycle, picture

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = 118
LEFT_OUT = {"in neither official list": 1, "image file not found": 1}


def write(root: Path) -> Path:
    """120 pictures of 40 patients; one age is 414."""
    count = 120
    names = [f"{n // 3 + 1:08d}_{n % 3:03d}.png" for n in range(count)]
    labels = cycle(["No Finding", "Effusion", "Cardiomegaly|Effusion", "Mass"], count)
    ages, genders = cycle([25, 50, 66], count, 9), cycle(["M", "F"], count, 3)
    ages[20] = 414
    rows = [
        f"{names[n]},{labels[n]},{n % 3},{n // 3 + 1},{ages[n]},{genders[n]},PA,2682,2749,0.143,0.143," for n in range(count)
    ]
    root.mkdir(parents=True)
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (root / "train_val_list.txt").write_text("\n".join(names[:87]))
    (root / "test_list.txt").write_text("\n".join(names[87:-1]))
    for n, name in enumerate(names[1:]):
        picture(root / f"images_{n % 3 + 1:03d}" / "images" / name, n, grey=True)
    return root
