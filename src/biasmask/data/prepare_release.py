"""From an official download to a checked table: `<output>/<name>/table.parquet`, its pictures, and a data card."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from biasmask import __version__
from biasmask.data.attributes import RAW, encode_values
from biasmask.data.data_card import card_markdown, count_cells, make_card
from biasmask.data.prepare import PrepareCount, prepare_images
from biasmask.data.release import Release, check_release, exclude
from biasmask.data.sentence_release import SentenceRelease, prepare_sentences
from biasmask.data.table import Exclusion
from biasmask.data.text_kinds import counted_texts
from biasmask.data.values import column_text
from biasmask.errors import DataError
from biasmask.files import write_atomically, write_json

ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6"}
UNREADABLE = "the picture can't be read"


def prepare_release(
    about: Mapping[str, Any], release: Release, source: Path, output: Path, short_side: int, attributes: Mapping[str, Any],
    findings: Mapping[str, Any] | None = None, ita: bool = False, workers: int = 0,
) -> dict[str, Any]:
    """Writes the table, the pictures, the release's own files and the card.

    Args:
        about: the data set's configuration (configs/prepare).
        release: what its reader made of the download.
        source: folder of the download; the files of the release lie below it.
        output: the data folder; <output>/<name> is made.
        short_side: pixels of the short side of written pictures; 0 = keep the originals.
        attributes: definitions of the data set's configuration (configs/data), for the counts of the card.
        findings: for the card.
        ita: adds skin tone by the typology angle, columns `ita` and `ita_group`.
        workers: threads for the pictures; 0 = one a core.

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
    frame, exclusions, found = release.frame.copy(), list(release.exclusions), dict(findings or {})
    if "file" in frame:
        frame = _pictures(frame, exclusions, found, source, folder, short_side, name, workers)
        if ita:
            frame = _skin_tone(frame, found, folder, workers, about.get("skin_type"))
    groups = {attribute: _groups(attribute, attributes, frame, name) for attribute in attributes}
    made = {"prepared": datetime.now(UTC).strftime("%Y-%m-%d"), "by": f"biasmask {__version__}"}
    if "image" in frame:
        made["short side"] = f"{short_side} px at most" if short_side else "as downloaded"
    card = make_card(about, frame, count_cells(*counted_texts(frame, groups)), exclusions, release.notes, made, found)
    for file, content in release.files.items():
        write_atomically(folder / file, content)
    write_atomically(folder / "table.parquet", frame.to_parquet(index=False))
    write_card(folder, card)
    return card


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """The card beside its table, as JSON and as Markdown."""
    write_json(folder / "card.json", card)
    write_atomically(folder / "card.md", card_markdown(card))


def _pictures(
    frame: pd.DataFrame, exclusions: list[Exclusion], findings: dict[str, Any], source: Path, folder: Path, short_side: int,
    name: str, workers: int,
) -> pd.DataFrame:
    places = [folder / "images" / f"{i}.jpg" for i in frame["id"]]
    jobs = list(zip([source / file for file in frame["file"]], places, strict=True))
    count = prepare_images(jobs, short_side, lambda n: tell(n, len(jobs), "images"), workers)
    print(f"{count.written} written, {count.skipped} were there, {len(count.failed)} failed")
    for number, reason in list(count.failed.items())[:5]:
        print(f"  failed: {frame['file'].iloc[number]}: {reason}")
    if len(count.failed) == len(jobs):
        raise DataError(f"{name}: none of {len(jobs)} pictures can be read; the first one, {jobs[0][0]}: {count.failed[0]}")
    if count.converted:
        findings["Pixels"] = {"lines": _conversions(count)}
    frame = exclude(frame, frame.index.isin(list(count.failed)), UNREADABLE, exclusions)
    frame.insert(1, "image", "images/" + frame["id"].astype(str) + ".jpg")
    return frame.drop(columns="file")


def _conversions(count: PrepareCount) -> list[str]:
    lines = [f"{number:,} pictures: {note}" for note, number in sorted(count.converted.items())]
    return lines + ([f"{count.skipped:,} pictures were there from an earlier run and aren't counted"] if count.skipped else [])


def _skin_tone(
    frame: pd.DataFrame, findings: dict[str, Any], folder: Path, workers: int, annotated: str | None
) -> pd.DataFrame:
    from biasmask.data.skin_tone import ita_columns, ita_finding

    columns = ita_columns([folder / image for image in frame["image"]], workers, lambda n: tell(n, len(frame), "skin tones"))
    types = None
    if annotated in frame:
        texts = column_text(frame[annotated])
        types = pd.Series([ROMAN.get(t, t) for t in texts]).pipe(pd.to_numeric, errors="coerce")
    findings["Skin tone by ITA"] = ita_finding(columns, types)
    return frame.drop(columns=list(columns), errors="ignore").assign(**columns)


def tell(done: int, whole: int, what: str) -> None:
    """Progress on standard error, every hundredth and the last."""
    if done % 100 == 0 or done == whole:
        print(f"\r{done} / {whole} {what}", end="\n" if done == whole else "", file=sys.stderr, flush=True)


def _groups(attribute: str, definitions: Mapping[str, Any], frame: pd.DataFrame, name: str) -> list[str | None]:
    rows = frame[["id"]].join(frame.add_prefix(RAW))
    encoded = encode_values(attribute, definitions, rows, name)
    return [encoded.group_names[index] if index >= 0 else None for index in encoded.index]
