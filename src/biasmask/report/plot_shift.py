"""Methods beside the line that moving scores by group draws: change of the gap against change of AUROC."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from biasmask.errors import ConfigError
from biasmask.report.picture import COLOURS, HAIR, INK, MUTED, STYLE
from biasmask.report.sweep_texts import figure

Point = tuple[float, float]


def method_points(content: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Of each method of a comparison (compare.json): its name and its changes of AUROC and of the gap against the base model.

    Raises:
        ConfigError: no comparison, or none of a method whose AUROC and gap were compared.
    """
    comparison = next(iter(content.get("comparisons") or []), None)
    if comparison is None:
        raise ConfigError("the comparison is empty: give the compare.json of a finished sweep")
    test_set = comparison["test_sets"][0]
    found = []
    for row in comparison["rows"]:
        changes = [figure(test_set, row, test_set[axis]).get("vs_base") for axis in ("quality", "gap")]
        if row["role"] != "base" and all(change and change["value"] is not None for change in changes):
            name = f"{row['label']} ({row['setting']})" if row["setting"] else row["label"]
            found.append((name, changes[0], changes[1]))
    if not found:
        raise ConfigError("no method of the comparison has a change of AUROC and of the gap")
    return found


def shift_picture(shifts: Sequence[Point], strengths: Sequence[float], content: Mapping[str, Any], path: Path | str) -> Path:
    """Draw the line of the shifted base models and a dot with 95 % intervals for each method.

    Args:
        shifts: (change of AUROC, change of the gap) of each strength, means over base models.
        strengths: their strengths, written at every second point.
        content: of compare.json.
        path: .png or .svg.
    Returns:
        The file's path.
    Raises:
        ConfigError: as `method_points`.
    """
    methods = method_points(content)
    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(8, 4.6), layout="constrained")
        axes = picture.subplots()
        axes.axhline(0, color=HAIR, linewidth=1)
        axes.axvline(0, color=HAIR, linewidth=1)
        axes.plot(*zip(*shifts, strict=True), color=MUTED, marker="o", markersize=3, linewidth=1.5, label="scores moved by group")
        for (x, y), strength in list(zip(shifts, strengths, strict=True))[1::2]:
            axes.annotate(f"{strength:g}", (x, y), (6, -8), textcoords="offset points", color=MUTED, fontsize=7)
        for number, (name, quality, gap) in enumerate(methods, 1):
            x, y = quality["value"], gap["value"]
            for change, ends in ((quality, "x"), (gap, "y")):
                if change["low"] is not None:
                    line = ([change["low"], change["high"]], [y, y]) if ends == "x" else ([x, x], [change["low"], change["high"]])
                    axes.plot(*line, color=COLOURS["final"], alpha=0.25, linewidth=1)
            axes.plot([x], [y], "o", color=COLOURS["final"], markersize=5, label=f"{number}  {name}")
            axes.annotate(str(number), (x, y), (5, 4), textcoords="offset points", color=INK, fontsize=9)
        axes.set_xlabel("change of AUROC on test rows (left: worse)")
        axes.set_ylabel("change of the gap (below: fairer)")
        axes.grid(True, color=HAIR, linewidth=0.5, alpha=0.6)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)
        picture.savefig(path, dpi=150, facecolor="white", metadata={"Software": None} if str(path).endswith(".png") else None)
    return Path(path)
