"""From an official download to a checked table: `<output>/<name>/table.parquet`, its pictures, and a data card."""

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from biasmask import __version__
from biasmask.data.attributes import RAW, encode_values
from biasmask.data.data_card import card_markdown, count_cells, make_card
from biasmask.data.prepare import prepare_images, write_table
from biasmask.data.release import Release, check_release, exclude
from biasmask.data.sentence_release import SentenceRelease, prepare_sentences
from biasmask.data.text_kinds import counted_texts
from biasmask.errors import DataError
from biasmask.files import write_atomically, write_json


def prepare_release(
    about: Mapping[str, Any], release: Release, source: Path, output: Path, short_side: int, attributes: Mapping[str, Any],
    findings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the table, the pictures and the card of a release.

    Args:
        about: the data set's configuration (configs/prepare).
        release: what its reader made of the download.
        source: folder of the download; the files of the release lie below it.
        output: the data folder; <output>/<name> is made.
        short_side: pixels of the short side of written pictures; 0 = keep the originals.
        attributes: definitions of the data set's configuration (configs/data), for the counts of the card.
        findings: for the card.

    Returns:
        The card.

    Raises:
        DataError: a release that breaks its word, no picture that can be read, a full disk.
    """
    name = str(about["name"])
    if isinstance(release, SentenceRelease):
        return prepare_sentences(about, release, output / name)
    check_release(release, name)
    folder = output / name
    frame, exclusions = release.frame.copy(), list(release.exclusions)
    if "file" in frame:
        frame = _pictures(frame, exclusions, source, folder, short_side, name)
    groups = {attribute: _groups(attribute, attributes, frame, name) for attribute in attributes}
    made = {"prepared": datetime.now(UTC).strftime("%Y-%m-%d"), "by": f"biasmask {__version__}", "short side": f"{short_side} px"}
    if "text" in frame:
        del made["short side"]
    card = make_card(about, frame, count_cells(*counted_texts(frame, groups)), exclusions, release.notes, made, findings)
    for file, content in release.files.items():
        write_atomically(folder / file, content)
    write_table(frame.to_parquet(index=False), folder / "table.parquet")
    write_json(folder / "card.json", card)
    write_atomically(folder / "card.md", card_markdown(card))
    return card


def _pictures(
    frame: pd.DataFrame, exclusions: list, source: Path, folder: Path, short_side: int, name: str
) -> pd.DataFrame:
    places = [folder / "images" / f"{i}.jpg" for i in frame["id"]]
    jobs = list(zip([source / file for file in frame["file"]], places, strict=True))
    count = prepare_images(jobs, short_side, lambda n: _tell(n, len(jobs)))
    print(file=sys.stderr)
    failed = frame["file"].map(lambda file: os.path.basename(str(file)) in count.failed).to_numpy()
    frame = exclude(frame, failed, "the picture can't be read", exclusions)
    if frame.empty:
        first = next(iter(count.failed.items()))
        raise DataError(f"{name}: none of {len(jobs)} pictures can be read; the first one, {first[0]}: {first[1]}")
    frame.insert(1, "image", "images/" + frame["id"].astype(str) + ".jpg")
    return frame.drop(columns="file")


def _tell(done: int, whole: int) -> None:
    if done % 100 == 0 or done == whole:
        print(f"\r{done} / {whole} images", end="", file=sys.stderr)


def _groups(attribute: str, definitions: Mapping[str, Any], frame: pd.DataFrame, name: str) -> list[str | None]:
    rows = frame[["id"]].join(frame.add_prefix(RAW))
    encoded = encode_values(attribute, definitions, rows, name)
    return [encoded.group_names[index] if index >= 0 else None for index in encoded.index]
