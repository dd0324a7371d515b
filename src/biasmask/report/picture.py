"""One picture of a run for a README or a slide: gaps and rates before and after, and the map of the mask."""

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.lines
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biasmask.errors import StoreError
from biasmask.files import storage_error
from biasmask.report.plot_mask import density_of, group_blocks
from biasmask.report.provenance import untouched_note
from biasmask.report.run_folder import RunFolder, load_run_folder
from biasmask.report.tables import Row, compare

INK, MUTED, HAIR, GROUND = "#1c2430", "#586374", "#dbe1e8", "#f1f3f6"
COLOURS = {"base": "#4f6f8f", "final": "#c65a11"}
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "text.color": INK,
    "axes.edgecolor": HAIR, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "svg.fonttype": "none", "svg.hashsalt": "biasmask",
}  # fmt: skip


def result_picture(run_dir: Path | str, path: Path | str) -> Path:
    """Draw dots with intervals before and after, and below them the mask's density by layer; readable at 800 px width.

    Args:
        run_dir: Run folder; without a mask the map is left out, with one model there is one dot a row.
        path: File to write, `.png` or `.svg`. The same folder gives the same picture.

    Returns:
        The file's path.

    Raises:
        StoreError: The folder has no figures, none of an attribute, or the file can't be written.
    """
    run = load_run_folder(run_dir)
    file = Path(path)
    rows = [row for section in compare(run, run.test_sets[0]) for row in section.rows]
    own = [row for row in rows if row.key.attribute == run.attribute]
    gaps = [row for row in own if row.key.group is None and row.key.metric != "auroc_worst_group"]
    rates = [row for row in own if row.key.metric in ("tpr", "fpr")]
    if not own:
        raise StoreError(f"{run.path / 'metrics.json'}: no figure of an attribute; evaluate with attribute=<name>")
    tensors = (run.mask or {}).get("tensors") or []
    heights = [0.5 + 0.36 * max(len(gaps), len(rates)), *([1.5] if tensors else [])]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, sum(heights) + 0.9), layout="constrained")
        grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
        draw_dots(figure.add_subplot(grid[0, 0]), run, gaps, f"Gaps by {run.attribute} (0 is equal)")
        draw_dots(figure.add_subplot(grid[0, 1]), run, rates, f"Rates by {run.attribute}", end=1.0)
        if tensors:
            axes = figure.add_subplot(grid[1, :])
            draw_map(axes, run.mask or {}, tensors)
            # A picture travels without its report: it must say itself that the mask isn't what closed the gap.
            axes.set_xlabel(untouched_note(run), fontsize=8, loc="left")
        handles = [
            matplotlib.lines.Line2D([], [], color=COLOURS[kind], marker=marker, label=plain(model))
            for model, kind, marker in marks(run)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, handlelength=2.2)
        metadata = {"Date": None, "Creator": None} if file.suffix == ".svg" else {"Software": None}
        try:
            figure.savefig(file, dpi=200, metadata=metadata, facecolor="white")
        except OSError as error:
            raise storage_error(error, file) from error
    return file


def plain(text: str) -> str:
    """A name without mathematical notation: matplotlib reads what stands between two dollar signs as a formula."""
    return text.replace("$", r"\$")


def marks(run: RunFolder) -> list[tuple[str, str, str]]:
    """Model, colour and marker of the base and the final model."""
    found = [(run.base, "base", "o")]
    return [*found, (run.final, "final", "D")] if run.compares else found


def draw_dots(axes: Axes, run: RunFolder, rows: list[Row], title: str, end: float | None = None) -> None:
    """One line a row, the base model above, the final one below; an undefined figure is written out."""
    axes.set_title(plain(title), loc="left", fontsize=9.5, fontweight="bold")
    for place, row in enumerate(rows):
        for model, kind, marker in marks(run):
            estimate = run.estimate(model, row.key)
            y = place + (-0.16 if kind == "base" and run.compares else 0.16 if run.compares else 0.0)
            if estimate is None or not estimate.defined:
                axes.text(0.01, y, "undefined", va="center", color=MUTED, fontsize=7.5, fontstyle="italic")
                continue
            if estimate.has_interval:
                ends = [estimate.low, estimate.high]
                axes.plot(ends, [y, y], color=COLOURS[kind], linewidth=1.6, solid_capstyle="butt")
            axes.plot([estimate.value], [y], marker=marker, color=COLOURS[kind], markersize=5.5, clip_on=False)
    axes.set_yticks(range(len(rows)), [plain(row.brief) for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlim(0, end if end is not None else max(axes.get_xlim()[1], 0.05))
    axes.tick_params(length=0)
    axes.grid(axis="x", color=HAIR, linewidth=0.7)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_axisbelow(True)


def draw_map(axes: Axes, mask: dict[str, Any], tensors: list[dict[str, Any]]) -> None:
    """Density of each tensor in network order; ground changes mark blocks, pale bars are norm weights and biases."""
    axes.set_title("The map: share of each layer that the mask selects, input left, output right", loc="left",
                   fontsize=9.5, fontweight="bold")  # fmt: skip
    start = 0
    for number, block in enumerate(group_blocks(tensors)):
        if number % 2 == 0:
            axes.axvspan(start - 0.5, start + len(block.tensors) - 0.5, color=GROUND, linewidth=0, zorder=0)
        start += len(block.tensors)
    shades = [COLOURS["final"] if len(tensor.get("shape") or []) > 1 else "#e3b18d" for tensor in tensors]
    axes.bar(range(len(tensors)), [density_of(tensor) for tensor in tensors], color=shades, width=0.78, zorder=2)
    if mask.get("edit_fraction") is not None and mask.get("kind") != "soft":
        axes.axhline(float(mask["edit_fraction"]), color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    axes.set_xlim(-0.5, len(tensors) - 0.5)
    axes.set_xticks([])
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
    axes.tick_params(length=0, colors=MUTED)
