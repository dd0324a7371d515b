"""Pictures from stored predictions: ROC curves by group with the operating point, score histograms by target."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from biasmask.report.formats import number
from biasmask.report.plot_intervals import model_class
from biasmask.report.run_folder import MetricKey, RunFolder
from biasmask.report.svg import element, join, picture, points, tick_label

SIDE, LEFT, TOP = 270, 44, 8  # ROC panel: side of the square, room for the axis, room above
WIDE, HIGH, BINS = 400, 110, 25  # histogram panel


@dataclass(frozen=True)
class Panel:
    """A drawing with its heading."""

    title: str
    drawing: Markup


@dataclass(frozen=True)
class LegendEntry:
    """A group's line and its figures in each model."""

    swatch: Markup
    label: str
    figures: str


@dataclass(frozen=True)
class RocFigure:
    """One panel a model, all groups of an attribute in each."""

    attribute: str
    test_set: str
    panels: list[Panel]
    legend: list[LegendEntry]


@dataclass(frozen=True)
class HistogramFigure:
    """One row a group, one panel a model."""

    attribute: str
    test_set: str
    rows: list[tuple[str, list[Panel]]]


def roc_figure(run: RunFolder, test_set: str, attribute: str) -> RocFigure | None:
    """ROC curves of all groups, a panel for each model; None without predictions, or without one score for all."""
    panels = []
    groups = run.groups(attribute)
    for model in run.models:
        frame = run.predictions(model, test_set)
        if frame is None or f"attribute:{attribute}" not in frame or "score" not in frame:
            continue
        threshold = run.threshold_of(model, test_set)
        curves = [roc_group(frame, attribute, group, threshold, place) for place, group in enumerate(groups)]
        label = f"ROC curves of {model} on {test_set} by {attribute}: " + "; ".join(
            f"{group} AUROC {auroc_words(run, model, test_set, attribute, group)}" for group in groups
        )
        panels.append(Panel(model, picture(label, *roc_axes(), *curves, width=SIDE + LEFT + 8, height=SIDE + TOP + 36)))
    if not panels:
        return None
    legend = []
    for place, group in enumerate(groups):
        words = [f"{model} {auroc_words(run, model, test_set, attribute, group)}" for model in run.models]
        legend.append(LegendEntry(swatch(place), group, "AUROC " + ", ".join(words)))
    return RocFigure(attribute, test_set, panels, legend)


def auroc_words(run: RunFolder, model: str, test_set: str, attribute: str, group: str) -> str:
    estimate = run.estimate(model, MetricKey(test_set, "auroc", attribute, group))
    if estimate is None:
        return "not computed"
    return number(estimate.value) + (f" ({estimate.reason})" if estimate.reason else "")


def roc_group(frame: pd.DataFrame, attribute: str, group: str, threshold: float, place: int) -> Markup:
    """Curve of one group and a dot at the frozen threshold; nothing for a group of one class."""
    own = frame[frame[f"attribute:{attribute}"] == group]
    false_alarms, hits = roc_points(own["score"].to_numpy(float), own["target"].to_numpy(int))
    if not len(hits):
        return Markup("")
    xs, ys = LEFT + SIDE * false_alarms, TOP + SIDE * (1 - hits)
    pieces = [element("polyline", points=points(xs.tolist(), ys.tolist()), class_=f"roc g{place % 6}")]
    said = own["score"].to_numpy(float) >= threshold
    target = own["target"].to_numpy(int)
    if np.isfinite(threshold):
        x, y = said[target == 0].mean(), said[target == 1].mean()
        cx, cy = LEFT + SIDE * x, TOP + SIDE * (1 - y)
        pieces.append(element("circle", cx=cx, cy=cy, r=5, class_=f"operating g{place % 6}"))
    return join(pieces)


def roc_points(score: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every distinct score, from (0, 0) to (1, 1).

    Args:
        score: (N,) float in [0, 1].
        target: (N,) int of 0 and 1.

    Returns:
        FPR and TPR, each (K,); both empty where a class has no sample.

    >>> [v.tolist() for v in roc_points(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1]))]
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]]
    >>> len(roc_points(np.array([0.5]), np.array([1]))[0])
    0
    """
    positive, negative = int((target == 1).sum()), int((target == 0).sum())
    if not positive or not negative:
        return np.empty(0), np.empty(0)
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(target[order] == 1)[ends]
    return np.append(0.0, (ends + 1 - hits) / negative), np.append(0.0, hits / positive)


def roc_axes() -> list[Markup]:
    bottom, right = TOP + SIDE, LEFT + SIDE
    pieces = [element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame")]
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = LEFT + SIDE * mark, TOP + SIDE * (1 - mark)
        pieces += [
            element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"),
            element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid"),
            element("text", tick_label(mark), x=x, y=bottom + 14, text_anchor="middle", class_="tick"),
            element("text", tick_label(mark), x=LEFT - 5, y=y + 4, text_anchor="end", class_="tick"),
        ]
    upright = f"translate(10 {TOP + SIDE / 2:g}) rotate(-90)"
    pieces += [
        element("line", x1=LEFT, y1=bottom, x2=right, y2=TOP, class_="chance"),
        element("text", "FPR", x=LEFT + SIDE / 2, y=bottom + 30, text_anchor="middle", class_="axis-name"),
        element("text", "TPR", transform=upright, text_anchor="middle", class_="axis-name"),
    ]
    return pieces


def swatch(place: int) -> Markup:
    line = element("line", x1=1, x2=29, y1=7, y2=7, class_=f"roc g{place % 6}")
    dot = element("circle", cx=15, cy=7, r=4.5, class_=f"operating g{place % 6}")
    return element("svg", line, dot, width=30, height=14, aria_hidden="true", class_="swatch")


def histogram_figure(run: RunFolder, test_set: str, attribute: str) -> HistogramFigure | None:
    """Score histograms by group and target, each panel on its own vertical scale; None without predictions."""
    column = f"attribute:{attribute}"
    frames = {model: run.predictions(model, test_set) for model in run.models}
    if any(frame is None or column not in frame or "score" not in frame for frame in frames.values()):
        return None
    rows = []
    for group in run.groups(attribute):
        shares = {
            model: target_shares(frame[frame[column] == group]) for model, frame in frames.items() if frame is not None
        }
        panels = [
            Panel(model, histogram(run, model, group, shares[model], model_class(run, place)))
            for place, model in enumerate(run.models)
        ]
        rows.append((group, panels))
    return HistogramFigure(attribute, test_set, rows)


def target_shares(own: pd.DataFrame) -> list[tuple[np.ndarray, int]]:
    """For target 1 and target 0: the share of samples in each bin of the score, and their number."""
    shares = []
    for target in (1, 0):
        score = own.loc[own["target"] == target, "score"].to_numpy(float)
        counts, _ = np.histogram(score, bins=BINS, range=(0.0, 1.0))
        shares.append((counts / max(len(score), 1), len(score)))
    return shares


def histogram(run: RunFolder, model: str, group: str, shares: list[tuple[np.ndarray, int]], class_: str) -> Markup:
    """Positives grow upward, negatives downward, the frozen threshold is a dashed line."""
    negative_name, positive_name = [*map(str, run.run.get("class_names") or ()), "negative", "positive"][:2]
    middle, left = HIGH / 2 + 14, 6
    step = WIDE / BINS
    top = max([float(share.max()) for share, _ in shares] + [1e-9])
    bars = []
    for (share, _), sign, name in zip(shares, (-1, 1), ("up", "down"), strict=True):
        lengths = share / top * (HIGH / 2 - 2)
        path = "".join(
            f"M{left + step * b:.1f} {middle:g}v{sign * length:.1f}h{step - 1:.1f}v{-sign * length:.1f}z"
            for b, length in enumerate(lengths)
            if length > 0.05
        )
        bars.append(element("path", d=path, class_=f"bar {class_} {name}"))
    threshold = run.threshold_of(model)
    line = []
    if np.isfinite(threshold):
        x = left + WIDE * min(max(threshold, 0.0), 1.0)
        line.append(element("line", x1=x, x2=x, y1=14, y2=HIGH + 14, class_="threshold"))
    up, down = (f"{name}, n {n:,}" for name, (_, n) in zip((positive_name, negative_name), shares, strict=True))
    texts = [
        element("text", f"\N{UPWARDS ARROW} {up}", x=left, y=10, class_="tick"),
        element("text", f"\N{DOWNWARDS ARROW} {down}", x=left + WIDE, y=10, text_anchor="end", class_="tick"),
        *(
            element("text", tick_label(mark), x=left + WIDE * mark, y=HIGH + 28, text_anchor=anchor, class_="tick")
            for mark, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
        ),
    ]
    base_line = element("line", x1=left, x2=left + WIDE, y1=middle, y2=middle, class_="zero")
    label = f"Scores of {model} for {group}: upward {up}; downward {down}; threshold {number(threshold)}"
    return picture(label, *bars, base_line, *line, *texts, width=WIDE + 12, height=HIGH + 34)
