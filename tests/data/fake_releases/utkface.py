"""UTKFace: aligned faces whose names hold age, gender, race and time; three names lack the race."""

from pathlib import Path

from tests.data.fake_releases.parts import picture

ROWS = 160
LEFT_OUT = {"the file's name isn't [age]_[gender]_[race]_[date].jpg": 3}


def write(root: Path) -> Path:
    """160 faces: every gender with every race and age, four times."""
    folder = root / "UTKFace"
    for n in range(ROWS):
        gender, race, age = n % 2, n // 2 % 5, (5, 25, 45, 80)[n // 10 % 4]
        picture(folder / f"{age}_{gender}_{race}_20170116{n:09d}.jpg.chip.jpg", n)
    for n, name in enumerate(("39_1_20170116174525125", "61_1_20170109142408075", "61_1_20170109150557335")):
        picture(folder / f"{name}.jpg.chip.jpg", 1000 + n)
    return root
