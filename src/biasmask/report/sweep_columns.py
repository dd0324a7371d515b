"""Which figures a comparison shows: the columns of its table, the two axes of its plot, and the figures of each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasmask.metrics.attribute_means import mean_name
from biasmask.report.run_folder import MetricKey
from biasmask.report.sweep_figures import TEXT
from biasmask.report.sweep_runs import SweepRun
from biasmask.report.text_folder import seat_of

WHOLE = ("auroc", "balanced_accuracy")
GAPS = ("equalized_odds_mean", "equalized_odds_max", "equal_opportunity", "fpr_gap", "auroc_gap", "auroc_worst_group")
OF_GROUPS = ("tpr", "fpr", "auroc")


@dataclass(frozen=True)
class Columns:
    """Keys of the figures to show: in the table, on the axes of the plot, for each group, and as differences."""

    shown: list[str]
    gap: str
    quality: str
    groups: list[str]
    compared: list[str]


def columns_of(run: SweepRun, split: str, figures: Mapping[str, Mapping[str, Any]], metrics: Sequence[str] = ()) -> Columns:
    """Choose the figures of a test set.

    Args:
        run: any run of the comparison.
        split: first part of the keys, or `text` for all keys of a text run.
        figures: row -> key -> figure.
        metrics: names of the figures for the table; empty = the usual ones.
    """
    known = dict.fromkeys(key for own in figures.values() for key in own)
    if split == TEXT:
        return text_columns(run, list(known), metrics)
    there = tuple(dict.fromkeys(a for key in known if (a := MetricKey.parse(key).attribute)))
    attributes = tuple(name for name in run.attributes if name in there) or there[:1]  # another data set may lack all of them
    whole = [f"{split}/{metric}" for metric in WHOLE[:1]]
    gaps = [f"{split}/{metric}/{attribute}" for attribute in attributes for metric in GAPS]
    shown = [*whole, *gaps, *(f"{split}/{metric}" for metric in WHOLE[1:])]
    if metrics:
        shown = [key for metric in metrics for key in known if matches(key, metric, attributes)]
    groups = [
        key for attribute in attributes for metric in OF_GROUPS for key in known
        if (parts := MetricKey.parse(key)).metric == metric and parts.attribute == attribute and parts.group is not None
    ]  # fmt: skip
    gap = f"{split}/{GAPS[0]}/{attributes[0]}" if attributes else ""
    if (mean := f"{split}/{GAPS[0]}/{mean_name(attributes)}") in known:  # no attribute is the main one
        gap = mean
        shown = [*shown[:1], mean, *shown[1:]] if not metrics else shown
    shown = [key for key in shown if key in known]
    return Columns(shown, gap, whole[0], groups, compared(shown, (gap, whole[0]), bool(metrics)))


def compared(shown: list[str], axes: Sequence[str], asked: bool) -> list[str]:
    """Figures whose differences stand in the tables: all that were asked for, else the axes and the worst group's AUROC."""
    return [key for key in shown if asked or key in axes or "worst_group" in key]


def matches(key: str, metric: str, attributes: Sequence[str]) -> bool:
    """Whether a key is of a metric, of the whole split, of a debiased attribute's gap, or of the mean over these attributes."""
    parts = MetricKey.parse(key)
    return parts.metric == metric and parts.group is None and parts.attribute in (None, *attributes, mean_name(attributes))


def text_columns(run: SweepRun, known: list[str], metrics: Sequence[str]) -> Columns:
    """Figures of a text run: the mean effect size by the verdict's pooling against the probe's accuracy."""
    pooling = str(run.run.get("pooling") or "mean")
    parts = {key: MetricKey.parse(key) for key in known}
    means = [key for key in known if parts[key].split == f"seat_{pooling}"]
    whole = [
        key for key in known
        if (seat := seat_of(parts[key].split)) is None or not seat[0]
        if not parts[key].metric.startswith("seat") and not parts[key].metric.endswith("_score")
    ]  # fmt: skip
    shown = sorted(whole, key=lambda key: (key not in means, key != "probe/accuracy"))
    if metrics:
        shown = [key for metric in metrics for key in known if parts[key].metric == metric]
    groups = [key for key in known if (seat := seat_of(parts[key].split)) and seat[0] and seat[1] == pooling]
    gap, quality = means[0] if means else "", "probe/accuracy"
    return Columns(shown, gap, quality, groups, compared(shown, (gap, quality), bool(metrics)))
