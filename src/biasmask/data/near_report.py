"""Near duplicates of a prepared data set as a CSV, a sheet of pictures to look at, and lines for the data card."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from biasmask.data.near_duplicates import DISTANCE, LIKENESS, near_pairs
from biasmask.data.near_rows import FILE
from biasmask.errors import DataError
from biasmask.files import write_atomically

SHOWN, THUMB, ACROSS = 48, 96, 6  # pairs on the sheet, pixels of a picture, pairs in a row of it


def report_near_duplicates(
    folder: Path, against: Path | None = None, splits: Mapping[str, str] | None = None, distance: int = DISTANCE,
    least: float = LIKENESS, workers: int = 0, progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Finds the near duplicates of a prepared data set, or those it shares with another, and writes them beside its table.

    Args:
        folder, against: prepared data sets.
        splits: id -> split as the data configuration draws it; a row without one is in none.

    Returns:
        For the card: `lines`, `file`, and the counts.

    Raises:
        DataError: no prepared table with pictures, or too many pairs.
    """
    mine = _table(folder)
    other = _table(against) if against else mine
    paths = [folder / image for image in mine["image"]]
    others = [against / image for image in other["image"]] if against else None
    pairs, alike, proposed = near_pairs(paths, others, distance, least, workers, progress)
    frame = _frame(mine, other, pairs, alike, splits or {}, against)
    name = f"near_duplicates_{against.name}.csv" if against else FILE
    write_atomically(folder / name, frame.to_csv(index=False))
    sheet = Path(name).with_suffix(".jpg").name
    if len(pairs):
        _sheet([(paths[i], (others or paths)[j]) for i, j, _ in pairs[:SHOWN]], folder / sheet)
    counts = {"pairs": len(frame), "proposed": proposed, "distance": distance, "likeness": least}
    lines = [
        f"{len(frame):,} pairs{' with ' + against.name if against else ''}, of {proposed:,} whose hashes differ in at most "
        f"{distance} of 64 bits (likeness of detail at least {least})"
    ]
    if not against:
        counts["across_splits"] = int((frame["split_a"] != frame["split_b"]).sum())
        counts["two_targets"] = int((frame["target_a"] != frame["target_b"]).sum())
        counts["two_subjects"] = int((~frame["same_subject"]).sum())
        lines.append(
            f"{counts['across_splits']:,} of them lie in two splits, {counts['two_targets']:,} have two targets, "
            f"{counts['two_subjects']:,} have two subjects (or none is recorded)"
        )
    look = f", {sheet} shows the first {min(SHOWN, len(frame))}: look at them" if len(frame) else ""
    lines.append(f"{name} lists them{look}")
    return {"lines": lines, "file": name, **counts}


def _table(folder: Path) -> pd.DataFrame:
    path = folder / "table.parquet"
    if not path.is_file():
        raise DataError(f"there is no {path}; prepare that data set first with scripts/prepare_dataset.py {folder.name}")
    frame = pd.read_parquet(path)
    if "image" not in frame:
        raise DataError(f"{path} holds no pictures, so it has no near duplicates")
    return frame


def _frame(
    mine: pd.DataFrame, other: pd.DataFrame, pairs: np.ndarray, alike: np.ndarray, splits: Mapping[str, str], against: Path | None
) -> pd.DataFrame:
    a, b = mine.iloc[pairs[:, 0]].reset_index(drop=True), other.iloc[pairs[:, 1]].reset_index(drop=True)
    frame = pd.DataFrame({"id_a": a["id"], "id_b": b["id"], "distance": pairs[:, 2], "likeness": alike.round(3)})
    for side, rows in (("a", a), ("b", b)):
        if side == "a" or not against:
            frame[f"split_{side}"] = rows["id"].map(splits).fillna("none")
        frame[f"target_{side}"] = rows.get("target")
    if against:
        return frame.assign(other=against.name)
    return frame.assign(same_subject=(a["subject"] == b["subject"]) if "subject" in mine else False)


def _sheet(pairs: list[tuple[Path, Path]], path: Path) -> None:
    cell = 2 * THUMB + 12
    rows = -(-len(pairs) // ACROSS)
    sheet = Image.new("RGB", (cell * min(ACROSS, len(pairs)), rows * (THUMB + 8)), "white")
    for number, pair in enumerate(pairs):
        left, top = number % ACROSS * cell, number // ACROSS * (THUMB + 8)
        for side, file in enumerate(pair):
            with Image.open(file) as image:
                sheet.paste(image.convert("RGB").resize((THUMB, THUMB)), (left + side * THUMB, top))
    part = path.with_name(f".{path.name}.part")
    sheet.save(part, "JPEG", quality=90)
    part.replace(path)
