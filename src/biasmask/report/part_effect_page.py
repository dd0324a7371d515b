"""The effects of single parts for a reader: a table for the terminal, and a page with a picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from biasmask.errors import StoreError
from biasmask.files import write_atomically
from biasmask.report.formats import count, number, percent
from biasmask.report.html import TEMPLATES, environment
from biasmask.report.run_folder import MetricKey, read_json
from biasmask.report.svg import element, fluid, tick_label, ticks
from biasmask.report.sweep_texts import TextTable

SCHEMA = 1
ROW, MIDDLE = 34, (11.0, 23.0)  # height of a row; the lines of `only` and of `without` in it
KINDS = ("only_effect", "without_effect")
AT_RANDOM = "as many at random"
WORDS = {"only_effect": "in this part alone", "without_effect": "everywhere but here"}


def read_part_effect(file: Path) -> dict[str, Any]:
    """The content of `part_effect.json`.

    Raises:
        StoreError: it isn't there, can't be parsed, or has another form.
    """
    content = read_json(file)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise StoreError(f"{file}: no part effects of schema {SCHEMA}; make them with scripts/part_effect.py")
    return content


def value_of(entry: Mapping[str, Any] | None, name: str = "value") -> float:
    value = (entry or {}).get(name)
    return math.nan if value is None else float(value)


def shown_keys(content: Mapping[str, Any]) -> list[str]:
    """The figures of the table: of images AUROC and the mean gap of each attribute, of encoders all."""
    keys = [str(key) for key in content["figures"]]
    if content["family"] == "text":
        return keys
    return [key for key in keys if MetricKey.parse(key).metric in ("auroc", "equalized_odds_mean")]


def key_words(key: str) -> str:
    """A key as a heading.

    >>> key_words("val/equalized_odds_mean/sex"), key_words("held_out/debias_loss")
    ('equalized odds mean, sex', 'debias loss')
    """
    parsed = MetricKey.parse(key)
    name = parsed.metric.replace("_", " ")
    return name if parsed.attribute is None else f"{name}, {parsed.attribute}"


def cell(entry: Mapping[str, Any] | None) -> str:
    """A value with its interval.

    >>> cell({"value": -0.1, "low": -0.2, "high": 0.0}), cell({"value": None})
    ('−0.100 (−0.200 to 0.000)', 'undefined')
    """
    value, low, high = (value_of(entry, name) for name in ("value", "low", "high"))
    if not math.isfinite(value):
        return "undefined"
    return number(value) + (f" ({number(low)} to {number(high)})" if math.isfinite(low) else "")


def random_words(part: Mapping[str, Any], kind: str, key: str) -> str:
    """Mean and range over the random choices; a dash where there are none."""
    drawn = ((part.get("random") or {}).get(kind) or {}).get(key)
    if value_of(drawn, "mean") != value_of(drawn, "mean"):
        return "–"
    return f"{number(drawn['mean'])} ({number(drawn['low'])} to {number(drawn['high'])})"  # type: ignore[index]


def effect_rows(content: Mapping[str, Any]) -> TextTable:
    """A row for each part that changed: the effect of its change alone, and below of as many entries at random."""
    keys = shown_keys(content)
    rows = [["all parts", count(content["changed"]), *(cell(content["effect"].get(key)) for key in keys)]]
    for part in content["parts"]:
        if part["changed"]:
            rows.append([str(part["part"]), count(part["changed"]), *(cell(part["only_effect"].get(key)) for key in keys)])
            if part["random"]:
                rows.append([AT_RANDOM, "", *(random_words(part, "only_effect", key) for key in keys)])
    title = f"difference from base on {content['split']}, n = {content['n']}"
    return TextTable(title, ["change", "entries", *map(key_words, keys)], rows)


def effect_table(content: Mapping[str, Any]) -> Table:
    """The same for a terminal."""
    made = effect_rows(content)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=made.title)
    for place, name in enumerate(made.header):
        table.add_column(name, justify="right" if place else "left", overflow="ellipsis" if place else "fold", no_wrap=place == 1)
    for place, row in enumerate(made.rows):
        style = "dim" if row[0] == AT_RANDOM else ""
        name = f"  {row[0]}" if style else row[0]
        table.add_row(*(Text(text, style=style) for text in (name, *row[1:])), end_section=place == 0)
    unchanged = sum(not part["changed"] for part in content["parts"])
    if unchanged:
        table.caption = f"{unchanged} further parts weren't changed"
    return table


def write_part_effect_page(content: Mapping[str, Any], file: Path) -> Path:
    """One HTML page that needs no other file: a picture and a table for each figure."""
    page = environment().get_template("part_effect.html.j2").render(
        css=Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "text.css"))),
        content=content,
        figures=[
            (key_words(key), effect_picture(content, key), cell(content["effect"].get(key))) for key in shown_keys(content)
        ],
        keys=[(key, key_words(key)) for key in content["figures"]],
        cell=cell,
        random_words=random_words,
        count=count,
        percent=percent,
    )  # fmt: skip
    write_atomically(file, page)
    return file


def effect_picture(content: Mapping[str, Any], key: str) -> list[tuple[str, str, Markup]]:
    """Rows of the picture: name, entries, drawing of the effect alone and left out with intervals, random choices as rings."""
    rows = [(str(part["part"]), part) for part in content["parts"] if part["changed"]]
    whole = value_of(content["effect"].get(key))
    ends = [0.0, whole]
    for _, part in rows:
        for kind in KINDS:
            ends += [value_of(part[kind].get(key), name) for name in ("value", "low", "high")]
            ends += random_values(part, kind, key)
    known = [end for end in ends if math.isfinite(end)]
    if len(known) < 2 or min(known) == max(known):
        return []
    marks = ticks(min(known), max(known))
    low, high = marks[0], marks[-1]

    def x(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}%"

    drawn = []
    for name, part in rows:
        pieces = [element("line", x1=x(m), x2=x(m), y1=0, y2=ROW, class_="grid zero" if m == 0 else "grid") for m in marks]
        if math.isfinite(whole):
            pieces.append(element("line", x1=x(whole), x2=x(whole), y1=0, y2=ROW, class_="threshold"))
        said = []
        for kind, y, class_ in zip(KINDS, MIDDLE, ("final", "base"), strict=True):
            pieces += effect_marks(part, kind, key, y, class_, x)
            said.append(f"{WORDS[kind]} {cell(part[kind].get(key))}, at random {random_words(part, kind, key)}")
        label = f"{name}: " + "; ".join(said)
        drawn.append((name, f"{count(part['changed'])} entries", fluid(label, *pieces, height=ROW, class_="strip")))
    axis = [element("text", tick_label(mark), x=x(mark), y=12, class_="tick", text_anchor=anchor(mark, marks)) for mark in marks]
    drawn.append(("", "", fluid(f"Axis from {tick_label(low)} to {tick_label(high)}", *axis, height=16, class_="strip")))
    return drawn


def anchor(mark: float, marks: Sequence[float]) -> str:
    return "start" if mark == marks[0] else "end" if mark == marks[-1] else "middle"


def random_values(part: Mapping[str, Any], kind: str, key: str) -> list[float]:
    drawn = ((part.get("random") or {}).get(kind) or {}).get(key) or {}
    return [float(value) for value in drawn.get("values", []) if value is not None]


def effect_marks(part: Mapping[str, Any], kind: str, key: str, y: float, class_: str, x: Any) -> list[Markup]:
    value, low, high = (value_of(part[kind].get(key), name) for name in ("value", "low", "high"))
    pieces = [element("circle", cx=x(v), cy=y, r=3, class_="random-dot") for v in random_values(part, kind, key)]
    if math.isfinite(low):
        pieces.append(element("line", x1=x(low), x2=x(high), y1=y, y2=y, class_="whisker"))
    if math.isfinite(value):
        pieces.append(element("circle", cx=x(value), cy=y, r=4, class_="dot"))
    return [element("g", *pieces, class_=class_)]
