"""What each metric is called in the report, which way is better, and which samples it rests on."""

from dataclasses import dataclass

from biasmask.report.run_folder import Estimate, MetricKey, RunFolder

SMALL_N = 30  # below this many samples a rate moves by more than .03 when one sample changes


@dataclass(frozen=True)
class MetricName:
    """Label, direction (+1 higher is better, -1 lower is better, 0 neither), cells that it rests on, short label."""

    label: str
    direction: int
    cells: str = "all"  # all | positive | negative | both
    short: str = ""  # where the place is narrow, or a heading says the rest

    @property
    def brief(self) -> str:
        return self.short or self.label


NAMES = {
    "auroc": MetricName("AUROC", 1, "both"),
    "average_precision": MetricName("Average precision", 1, "positive"),
    "accuracy": MetricName("Accuracy", 1),
    "balanced_accuracy": MetricName("Balanced accuracy", 1, "both"),
    "f1": MetricName("F1", 1, "positive"),
    "brier": MetricName("Brier score", -1),
    "ece": MetricName("Calibration error (ECE)", -1, short="ECE"),
    "tpr": MetricName("TPR (sensitivity)", 1, "positive", "TPR"),
    "fpr": MetricName("FPR (1 \N{MINUS SIGN} specificity)", -1, "negative", "FPR"),
    "ppv": MetricName("PPV (precision)", 1, short="PPV"),
    "selection_rate": MetricName("Selection rate", 0),
    "mean_score": MetricName("Mean score", 0),
    "equalized_odds_mean": MetricName("Equalized-odds gap (mean)", -1, "both", "Equalized odds (mean)"),
    "equalized_odds_max": MetricName("Equalized-odds gap (max)", -1, "both", "Equalized odds (max)"),
    "equal_opportunity": MetricName("Equal-opportunity gap (TPR)", -1, "positive", "TPR (equal opp.)"),
    "fpr_gap": MetricName("FPR gap", -1, "negative", "FPR"),
    "demographic_parity": MetricName("Demographic-parity gap", -1, short="Demographic parity"),
    "auroc_gap": MetricName("AUROC gap", -1, "both", "AUROC"),
    "auroc_worst_group": MetricName("Worst-group AUROC", 1, "both"),
}
ORDER = {name: place for place, name in enumerate(NAMES)}


def metric_name(metric: str) -> MetricName:
    """Label, direction and cells of a metric; one that is not listed keeps its own name and has no direction.

    >>> metric_name("tpr").direction, metric_name("new_figure").label
    (1, 'new figure')
    """
    unknown = MetricName(metric.replace("_", " "), -1 if metric.endswith("_gap") else 0)
    return NAMES.get(metric, unknown)


def place(metric: str) -> int:
    """Place of a metric in a table; unknown ones last."""
    return ORDER.get(metric, len(ORDER))


def samples_behind(metric: str, estimate: Estimate) -> int | None:
    """How many samples a figure rests on: positives for a TPR, negatives for an FPR, the fewer of both for an AUROC.

    Returns:
        The count; None where it is not known.

    >>> samples_behind("fpr", Estimate(0.1, n=40, n_positive=15)), samples_behind("tpr", Estimate(0.1))
    (25, None)
    """
    cells = metric_name(metric).cells
    if estimate.n is None or estimate.n_positive is None or cells == "all":
        return estimate.n
    negative = estimate.n - estimate.n_positive
    return {"positive": estimate.n_positive, "negative": negative}.get(cells, min(estimate.n_positive, negative))


def smallest_sample(run: RunFolder, key: MetricKey) -> int | None:
    """The samples that a key's figure rests on; for a gap, those of the smallest group that enters it.

    Returns:
        The count; None where no count is stored.
    """
    if key.attribute is None or key.group is not None:
        estimate = run.estimate(run.final, key)
        return None if estimate is None else samples_behind(key.metric, estimate)
    counts = []
    for group in run.groups(key.attribute):
        estimates = [
            run.estimate(run.final, MetricKey(key.split, rate, key.attribute, group))
            for rate in ("tpr", "fpr", "auroc", "mean_score")
        ]
        known = [samples_behind(key.metric, estimate) for estimate in estimates if estimate is not None]
        counts.extend(known[:1])
    filled = [value for value in counts if value]
    return min(filled) if filled else None


def change_of(metric: str, difference: Estimate | None) -> str | None:
    """Whether a paired interval says better, worse, or neither.

    Returns:
        `better`, `worse`, `changed` (a metric with no better side), `unclear`, or None without an interval.

    >>> change_of("fpr", Estimate(-0.1, -0.2, -0.05)), change_of("tpr", Estimate(-0.1, -0.2, 0.05))
    ('better', 'unclear')
    """
    if difference is None or not difference.defined or not difference.has_interval:
        return None
    if difference.low <= 0 <= difference.high:
        return "unclear"
    direction = metric_name(metric).direction
    if direction == 0:
        return "changed"
    return "better" if (difference.low > 0) == (direction > 0) else "worse"
