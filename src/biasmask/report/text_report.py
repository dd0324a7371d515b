"""The report of a text run: association before and after beside its cost, and the map of what was cut."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from biasmask.files import write_atomically
from biasmask.report import provenance
from biasmask.report.bias_map import read_bias_map
from biasmask.report.block_section import block_content
from biasmask.report.formats import count
from biasmask.report.html import TEMPLATES, environment
from biasmask.report.plot_bias_map import bias_map_content
from biasmask.report.plot_history import curve_panels
from biasmask.report.plot_intervals import StripPlot, draw_axis, draw_row, model_class
from biasmask.report.svg import ticks
from biasmask.report.tables import Section
from biasmask.report.text_folder import TextRun, load_text_run
from biasmask.report.text_tables import cost_section, digits_of, other_sections, seat_sections
from biasmask.report.text_verdict import judge_text
from biasmask.report.time_table import time_rows

NOT_LISTED = ("parts", "excluded", "notes", "kinds")  # of the checker: they have a place of their own


@dataclass(frozen=True)
class SentenceRow:
    """How many sentences of a kind were found, and how many are in each part."""

    kind: str
    counts: list[str]


def write_text_report(run_dir: Path | str) -> Path:
    """Write `report.html` into the folder of a text run or of an evaluation of an encoder.

    The same folder gives the same bytes. Strings from files and configs are escaped.

    Args:
        run_dir: Folder with `metrics.json`; any other file may be missing: its part is left out.

    Returns:
        Path of the report.

    Raises:
        StoreError: No figures, a file that can't be parsed, or a folder that can't be written to.
    """
    run = load_text_run(run_dir)
    page = environment().get_template("text_report.html.j2").render(text_content(run))
    file = run.folder.path / "report.html"
    write_atomically(file, page)
    return file


def text_content(run: TextRun) -> dict[str, Any]:
    """Everything that the template shows."""
    folder = run.folder
    styles = [(TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "text.css")]
    seat = seat_sections(run)
    checker = folder.checker or {}
    return {
        "css": Markup("\n".join(styles)),
        "run": folder,
        "models": [(model, model_class(folder, place)) for place, model in enumerate(folder.models)],
        "title": text_title(run),
        "verdict": judge_text(run),
        "facts": text_facts(run),
        "stages": provenance.stage_rows(folder),
        "times": time_rows(folder),
        "seat": seat,
        "cost": cost_section(run),
        "others": other_sections(run),
        "plots": [plot for section in seat if (plot := seat_plot(run, section))],
        "digits_of": digits_of,
        "p_value": run.p_value,
        **block_content(run.blocks),
        **bias_map_content(read_bias_map(folder.path)),
        "curves": curve_panels(folder.history),
        "sentences": sentence_table(run),
        "exclusions": list(exclusions(checker.get("excluded") or checker.get("exclusions") or {})),
        "notes": checker.get("notes") or [],
        "other_checks": provenance.other_checks({k: v for k, v in checker.items() if k not in NOT_LISTED}),
    }


def text_title(run: TextRun) -> str:
    """Encoder, attribute and method as far as they are known, such as `bert-base by gender: block pruning`."""
    read = run.folder.run
    encoder = str(read.get("model_name") or "Report")
    head = " by ".join(word for word in (encoder, run.folder.attribute) if word)
    return ": ".join(word for word in (head, str(read.get("label") or read.get("method") or "")) if word)


def text_facts(run: TextRun) -> list[tuple[str, str]]:
    """The run in pairs of name and value; what is not known is left out."""
    read, folder = run.folder.run, run.folder
    sizes = [f"{read[name]} {words}" for name, words in (("layers", "layers"), ("heads", "heads")) if read.get(name)]
    sizes += [f"width {read['hidden_size']}"] if read.get("hidden_size") else []
    block = read.get("block_size")
    pairs = [
        ("Encoder", read.get("model_name")),
        ("Architecture", ", ".join([str(read["architecture"]), *sizes]) if read.get("architecture") else None),
        ("Attribute", folder.attribute),
        ("Groups", ", ".join(folder.groups(folder.attribute)) if folder.attribute else None),
        ("Sentences", read.get("dataset")),
        ("Method", read.get("method")),
        ("Structure", f"{read['structure']}, {block} x {block}" if read.get("structure") and block else read.get("structure")),
        ("Loss on", joined(read.get("embedding_layer"), "layer", read.get("debias_mode"))),
        ("Attribute reduction", read.get("attribute_reduction")),
        ("Sentence embedding of the verdict", run.pooling),
        ("Seed", read.get("seed")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def joined(layer: Any, words: str, mode: Any) -> str:
    return ", ".join(str(part) for part in (f"{words} {layer}" if layer else None, mode) if part)


def seat_plot(run: TextRun, section: Section) -> StripPlot | None:
    """Dots with intervals of a pooling's tests on one axis that holds 0; a test that is undefined stands in the table only."""
    rows = [row for row in section.rows if row.key.metric in ("effect_size", "mean_abs_effect_size")]
    rows = [row for row in rows if any(e is not None and e.defined for e in row.estimates)]
    if not rows:
        return None
    ends = [end for row in rows for e in row.estimates if e is not None for end in (e.value, e.low, e.high)]
    known = [end for end in ends if math.isfinite(end)]
    marks = ticks(min([0.0, *known]), max([0.05, *known]))
    return StripPlot(section.title, [draw_row(run.folder, row, row.label, marks) for row in rows], draw_axis(marks))


def sentence_table(run: TextRun) -> tuple[list[str], list[SentenceRow]]:
    """Columns and a row a kind: sentences found, then those in each part."""
    checker = run.folder.checker or {}
    counts = checker.get("counts") or {}
    parts = run.folder.run.get("sentences") or checker.get("parts") or {}
    tables = ({"extracted": counts} if counts else {}) | {str(name).replace("_", " "): cells for name, cells in parts.items()}
    kinds = dict.fromkeys(kind for cells in tables.values() for kind in cells)
    return list(tables), [SentenceRow(kind, [count(cells.get(kind)) for cells in tables.values()]) for kind in kinds]


def exclusions(found: dict[str, Any] | list[dict[str, Any]]) -> Iterable[tuple[str, str, str]]:
    """Count, reason and first example of what was left out.

    Args:
        found: Reason -> entry with `count`, and `what` and `first` where known; or a list of entries with `reason`, `count`
            and `examples`.

    >>> list(exclusions({"nul": {"count": 1203, "what": "a NUL in it", "first": "a.txt:7"}, "blank": {"count": 4}}))
    [('1,203', 'a NUL in it', 'a.txt:7'), ('4', 'blank', '')]
    """
    entries = found if isinstance(found, list) else [{"reason": reason, **entry} for reason, entry in found.items()]
    for entry in entries:
        reason = str(entry.get("what") or entry.get("reason") or "").replace("_", " ")
        yield count(entry.get("count")), reason, str(entry.get("first") or ", ".join(map(str, entry.get("examples") or [])))
