"""The overlap of masks for a reader: tables, a CSV file, and one page with a matrix of all pairs."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from biasmask.files import write_atomically
from biasmask.report.formats import count, number
from biasmask.report.html import TEMPLATES, environment
from biasmask.report.mask_chance import Chance
from biasmask.report.mask_overlap import Overlap
from biasmask.report.masked_runs import SETTINGS, MaskedRun
from biasmask.report.plot_blocks import STRONGEST, text
from biasmask.report.svg import element
from biasmask.report.tables import plain

CELL, LEFT, TOP = 36, 30, 24
MOST_PAIRS = 45  # in the terminal: of 10 runs
CSV_COLUMNS = (
    "first", "second", "first_seed", "second_seed", "same_setting", "iou", "chance_anywhere", "chance_anywhere_low",
    "chance_anywhere_high", "chance_within", "chance_within_low", "chance_within_high", "iou_attention", "iou_neurons",
    "spearman_heads", "n_heads", "reason", "kind", "unit", "z_anywhere", "z_within", "spearman_blocks", "n_blocks", "same_base",
)  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """Means over the pairs of one kind."""

    title: str
    pairs: int
    iou: float
    anywhere: float
    within: float
    spearman: float
    z_within: float
    spearman_blocks: float


def summaries(overlaps: Sequence[Overlap]) -> list[Summary]:
    """Means over the pairs of each setting (that is, between its seeds), then over the pairs of different settings."""
    runs = [run for overlap in overlaps for run in (overlap.first, overlap.second)]
    kinds: dict[str, list[Overlap]] = {}
    for overlap in overlaps:
        words = setting_words(overlap.first, runs) or "one setting"
        kinds.setdefault(f"{words}: other seeds" if overlap.same_setting else overlap.kind, []).append(overlap)
    ordered = sorted(kinds.items(), key=lambda kind: (not kind[1][0].same_setting, kind[0] == "different settings"))
    return [
        Summary(
            title,
            len(own),
            finite_mean([o.iou for o in own]),
            finite_mean([o.anywhere.mean for o in own]),
            finite_mean([o.within.mean for o in own]),
            finite_mean([o.spearman for o in own]),
            finite_mean([o.z_within for o in own]),
            finite_mean([o.spearman_blocks for o in own]),
        )
        for title, own in ordered
    ]


def finite_mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return mean(known) if known else math.nan


def setting_words(run: MaskedRun, runs: Sequence[MaskedRun]) -> str:
    """The settings in which the runs differ, as words, and then what else was typed; those with no value are left out."""
    differing = [name for name in SETTINGS if len({str(other.run.get(name)) for other in runs}) > 1]
    found = [(name, run.run.get(name)) for name in differing]
    words = [str(value) if name == "label" else f"{name.replace('_', ' ')} {value}" for name, value in found if value]
    shared = frozenset.intersection(*(other.overrides for other in runs))
    said = {"experiment", *SETTINGS, "prune_block_size"}
    words += [o for o in sorted(run.overrides - shared) if o.partition("=")[0].rpartition(".")[2] not in said]
    return ", ".join(words)


def summary_table(overlaps: Sequence[Overlap]) -> Table:
    table = headed("pairs of runs", "pairs")
    for row in summaries(overlaps):
        values = (row.iou, row.anywhere, row.within, row.z_within, row.spearman, row.spearman_blocks)
        table.add_row(Text(row.title), count(row.pairs), *map(or_dash, values))
    return table


def pair_table(overlaps: Sequence[Overlap]) -> Table | None:
    """A row a pair; None where there are too many to read."""
    if len(overlaps) > MOST_PAIRS:
        return None
    table = headed("first", "second")
    for overlap in overlaps:
        cells = [or_dash(overlap.iou), chance_words(overlap.anywhere), chance_words(overlap.within)]
        cells += map(or_dash, (overlap.z_within, overlap.spearman, overlap.spearman_blocks))
        table.add_row(Text(overlap.first.name), Text(overlap.second.name), *cells)
    return table


def headed(first: str, second: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    table.add_column(second, overflow="fold", justify="right" if second == "pairs" else "left")
    for name in ("IoU", "chance anywhere", "in same matrices", "z", "heads", "blocks"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def chance_words(chance: Chance) -> str:
    """Mean and interval of a chance level.

    >>> chance_words(Chance(0.2, 0.18, 0.22)), chance_words(Chance())
    ('0.200 (0.180–0.220)', '–')
    """
    return f"{number(chance.mean)} ({number(chance.low)}–{number(chance.high)})" if math.isfinite(chance.mean) else "–"


def or_dash(value: float) -> str:
    return number(value) if math.isfinite(value) else "–"


def write_overlap_csv(overlaps: Sequence[Overlap], file: Path) -> Path:
    """One row a pair; undefined figures are empty, with their reason."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for o in overlaps:
        chances = [plain(end) for chance in (o.anywhere, o.within) for end in (chance.mean, chance.low, chance.high)]
        writer.writerow(
            [
                o.first.name, o.second.name, o.first.run.get("seed"), o.second.run.get("seed"), int(o.same_setting), plain(o.iou),
                *chances, plain(o.attention), plain(o.neurons), plain(o.spearman), o.n_heads, o.reason or "",
                o.kind, o.first.unit, plain(o.z_anywhere), plain(o.z_within), plain(o.spearman_blocks), o.n_blocks,
                int(o.first.source is not None and o.first.source == o.second.source),
            ]
        )  # fmt: skip
    write_atomically(file, lines.getvalue())
    return file


def write_overlap_page(runs: Sequence[MaskedRun], overlaps: Sequence[Overlap], file: Path) -> Path:
    """One HTML page that needs no other file: a matrix of IoU, one of rank correlations, and the table of all pairs."""
    page = environment().get_template("overlap.html.j2").render(
        css=Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "text.css"))),
        runs=[(place + 1, run, setting_words(run, runs)) for place, run in enumerate(runs)],
        overlaps=overlaps,
        summaries=summaries(overlaps),
        number_of={id(run): place + 1 for place, run in enumerate(runs)},
        iou=pair_matrix("IoU of masks", runs, overlaps, lambda o: o.iou, lambda o: excess(o.iou, o.within.mean)),
        spearman=pair_matrix("Rank correlation of heads", runs, overlaps, lambda o: o.spearman, lambda o: o.spearman),
        blocks=pair_matrix(
            "Rank correlation of blocks", runs, overlaps, lambda o: o.spearman_blocks, lambda o: o.spearman_blocks
        ),
        units=sorted({run.unit for run in runs}),
        or_dash=or_dash,
        chance_words=chance_words,
        id=id,
    )  # fmt: skip
    write_atomically(file, page)
    return file


def excess(value: float, chance: float) -> float:
    """How far a value lies above chance, as a share of what is possible.

    >>> excess(0.625, 0.25), excess(0.1, 0.2)
    (0.5, 0.0)
    """
    return max(0.0, (value - chance) / (1 - chance)) if chance < 1 else 0.0


def pair_matrix(
    label: str,
    runs: Sequence[MaskedRun],
    overlaps: Sequence[Overlap],
    value: Callable[[Overlap], float],
    strength: Callable[[Overlap], float],
) -> Markup | None:
    """Draw a symmetric matrix of all pairs; None where no pair has a value.

    Args:
        label: Name of the picture; its numbers are put behind it for who can't see it.
        runs: In the order of rows and columns.
        overlaps: All pairs.
        value: The number of a cell.
        strength: Its colour, in [0, 1]; below 0 is as 0.
    """
    known = {(id(o.first), id(o.second)): o for o in overlaps if math.isfinite(value(o))}
    if not known:
        return None
    pieces, said = [], []
    for row, first in enumerate(runs):
        y = TOP + CELL * row
        pieces.append(text(str(row + 1), LEFT - 8, y + CELL / 2 + 4, "tick", "end"))
        pieces.append(text(str(row + 1), LEFT + CELL * (row + 0.5), TOP - 8, "tick", "middle"))
        for column, second in enumerate(runs):
            found = known.get((id(first), id(second))) or known.get((id(second), id(first)))
            x = LEFT + CELL * column
            box_ = {"x": x + 1.0, "y": y + 1.0, "width": CELL - 2.0, "height": CELL - 2.0}
            pieces.append(element("rect", **box_, class_="ground"))
            if found is None:
                continue
            part = min(max(strength(found), 0.0), 1.0)
            hint = element("title", f"{first.name} and {second.name}: {number(value(found))}")
            class_ = "cell-text strong" if part > 0.7 else "cell-text"
            shown = text(number(value(found), 2), x + CELL / 2, y + CELL / 2 + 4, class_, "middle")
            pieces.append(element("g", element("rect", **box_, class_="cut", fill_opacity=STRONGEST * part), shown, hint))
            if row < column:
                said.append(f"{row + 1} and {column + 1}: {number(value(found), 2)}")
    size = LEFT + CELL * len(runs), TOP + CELL * len(runs)
    return element(
        "svg", *pieces, viewBox=f"0 0 {size[0]} {size[1]}", width=size[0], height=size[1], role="img", class_="heat",
        aria_label=f"{label}. " + "; ".join(said),
    )  # fmt: skip
