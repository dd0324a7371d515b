"""HAM10000 and the ISIC 2018 test set as the Dataverse gives them out."""

from pathlib import Path

from tests.data.fake_layouts import fake_ham10000

ROWS = 122
LEFT_OUT = {"`dx` is none of the seven diagnoses": 1, "image file not found": 4}


def write(root: Path) -> Path:
    """84 training pictures in two parts (four without a file), a row `healthy`, and 42 test pictures."""
    return fake_ham10000(root, official=True)
