"""Pictures for a notebook, from what is in memory: gaps and rates of models, the map of a mask, the map of a pruned encoder."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biasmask.errors import ConfigError
from biasmask.report.picture import COLOURS, INK, MUTED, STYLE, draw_dots, draw_map, plain
from biasmask.report.plot_blocks import TWIN
from biasmask.report.run_folder import Estimate, RunFolder
from biasmask.report.tables import Row, compare

HEIGHT = 0.36  # inches a row
DPI = 110  # sharp on a screen, and small in a notebook file


@dataclass(frozen=True)
class Picture:
    """A figure that a notebook shows whatever its matplotlib backend; `figure` is there to change it."""

    figure: Figure

    def save(self, path: str | Path) -> Path:
        """Write it; the ending says how: .png, .svg, .pdf."""
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(path, dpi=200, facecolor="white")
        return Path(path)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
        return buffer.getvalue()


def gaps_figure(table: pd.DataFrame, attribute: str | None = None) -> Picture:
    """Gaps and rates by group as dots with intervals, before and after.

    Args:
        table: as `evaluate` returns it; of several models the first and the last are drawn.
        attribute: of the figures; None: the first that has any.
    Raises:
        ConfigError: no figure of an attribute.
    """
    run = run_of(table, attribute)
    rows = [row for section in compare(run, run.test_sets[0]) for row in section.rows]
    own = [row for row in rows if row.key.attribute == run.attribute]
    gaps = [row for row in own if row.key.group is None and row.key.metric != "auroc_worst_group"]
    rates = [row for row in own if row.key.metric in ("tpr", "fpr")]
    if not own:
        raise ConfigError(
            f"no figure of the attribute {run.attribute}: the table has {', '.join(map(str, table.index[:3]))}, ..."
        )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.3 + HEIGHT * max(len(gaps), len(rates))), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_dots(left, run, gaps, f"Gaps by {run.attribute} (0 is equal)")
        draw_dots(right, run, rates, f"Rates by {run.attribute}", end=1.0)
        legend(figure, run)
    return Picture(figure)


def effects_figure(table: pd.DataFrame, pooling: str = "mean") -> Picture:
    """Association tests of encoders as dots with intervals; 0 is no association.

    Args:
        table: as `evaluate_text` returns it.
        pooling: `mean` or `cls`.
    Raises:
        ConfigError: no association test in the table.
    """
    run = run_of(table, None)
    keys = [key for key in run.keys if key.metric == "effect_size" and key.split.endswith(f"_{pooling}")]
    if not keys:
        raise ConfigError(f"no association test with {pooling} embeddings in the table")
    rows = []
    for key in keys:
        estimates = [run.estimate(model, key) for model in run.models]
        label = key.split.removeprefix("seat").removesuffix(f"_{pooling}")
        rows.append(Row(key, label, estimates, run.difference(key), None, None, None, None))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6, 1.2 + HEIGHT * len(rows)), layout="constrained")
        axes = figure.subplots()
        draw_dots(axes, run, rows, f"SEAT effect sizes, {pooling} embeddings (0 is no association)")
        axes.set_yticks(range(len(rows)), [f"SEAT {row.label}" for row in rows])
        axes.set_xlim(-2, 2)  # the effect size lies between them
        legend(figure, run)
    return Picture(figure)


def mask_figure(info: Mapping[str, Any]) -> Picture:
    """The share of each tensor that a mask selects, in network order.

    Args:
        info: the content of `mask.json`.
    """
    tensors = list(info["tensors"])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.9), layout="constrained")
        draw_map(figure.subplots(), dict(info), tensors)
    return Picture(figure)


def blocks_figure(info: Mapping[str, Any]) -> Picture:
    """Kept share by layer and matrix of a pruned network.

    Args:
        info: the content of `block_mask.json`.
    """
    matrices = [matrix for matrix in info["matrices"] if matrix["role"] != TWIN]
    layers, roles = (list(dict.fromkeys(matrix[name] for matrix in matrices)) for name in ("layer", "role"))
    kept = {(matrix["layer"], matrix["role"]): matrix["density"] for matrix in matrices}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 0.85 * len(roles), 0.8 + HEIGHT * len(layers)), layout="constrained")
        axes = figure.subplots()
        axes.set_title("Kept share by layer and matrix", loc="left", fontsize=9.5, fontweight="bold")
        for y, layer in enumerate(layers):
            for x, role in enumerate(roles):
                draw_share(axes, x, y, kept.get((layer, role)))
        axes.set_xticks(range(len(roles)), ["neurons" if role == "intermediate" else plain(str(role)) for role in roles])
        axes.set_yticks(range(len(layers)), [f"layer {layer}" for layer in layers])
        axes.set_xlim(-0.5, len(roles) - 0.5)
        axes.set_ylim(len(layers) - 0.5, -0.5)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
    return Picture(figure)


def draw_share(axes: Axes, x: int, y: int, share: float | None) -> None:
    """A cell, the stronger the more was cut, with its number."""
    if share is None or not math.isfinite(share):
        axes.text(x, y, "–", ha="center", va="center", color=MUTED)
        return
    axes.add_patch(
        matplotlib.patches.Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=COLOURS["final"], alpha=0.85 * (1 - share))
    )
    axes.text(x, y, f"{100 * share:.0f} %", ha="center", va="center", color=INK, fontsize=8)


def samples_figure(cells: Mapping[str, np.ndarray]) -> Picture:
    """Pictures of each cell of group and target, a row a cell.

    Args:
        cells: title -> uint8 (n, H, W, 3).
    """
    most = max((len(pictures) for pictures in cells.values()), default=0) or 1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.6 + 1.1 * most, 1.1 * max(len(cells), 1)), layout="constrained")
        grid = figure.subplots(max(len(cells), 1), most, squeeze=False)
        for row, (title, pictures) in zip(grid, cells.items(), strict=False):
            for place, axes in enumerate(row):
                axes.set_axis_off()
                if place < len(pictures):
                    axes.imshow(pictures[place])
            row[0].text(-0.1, 0.5, plain(title), transform=row[0].transAxes, ha="right", va="center")
    return Picture(figure)


def run_of(table: pd.DataFrame, attribute: str | None) -> RunFolder:
    """A table of figures as the report's drawings take it: its first and its last model."""
    names = list(dict.fromkeys(name for name, column in table.columns if column == "n"))
    chosen = [names[0], names[-1]] if len(names) > 1 else names
    difference = f"{chosen[-1]} - {chosen[0]}"
    return RunFolder(
        path=Path("."),
        run={"attribute": attribute},
        estimates={name: estimates_of(table[name]) for name in chosen},
        differences=estimates_of(table[difference]) if len(chosen) > 1 else {},
        threshold={},
        collapse=None,
        confidence=0.95,
        n_bootstrap=None,
        mask=None,
        history=[],
        stages=[],
        checker=None,
        texts={},
    )


def estimates_of(part: pd.DataFrame) -> dict[str, Estimate]:
    """Rows of one model; a row that this model has no figure for is left out."""
    found = {}
    for key, row in part.iterrows():
        reason = None if pd.isna(row["reason"]) else str(row["reason"])
        if not math.isnan(row["value"]) or reason:
            found[str(key)] = Estimate(row["value"], row["low"], row["high"], reason=reason)
    return found


def legend(figure: Figure, run: RunFolder) -> None:
    names = [(run.base, "base", "o"), *([(run.final, "final", "D")] if run.compares else [])]
    handles = [
        matplotlib.lines.Line2D([], [], color=COLOURS[kind], marker=marker, label=plain(name)) for name, kind, marker in names
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, handlelength=2.2)
