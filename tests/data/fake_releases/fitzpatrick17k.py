"""Fitzpatrick17k: the official table and 200 pictures of its 240 rows."""

from pathlib import Path

from tests.data.fake_layouts import fake_fitzpatrick17k

ROWS = 200
LEFT_OUT = {"image file not found": 40}


def write(root: Path) -> Path:
    """The last 40 rows have a dead link."""
    return fake_fitzpatrick17k(root)
