"""The before/after table as rows, and the same figures as a CSV file."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from biasmask.files import write_atomically
from biasmask.report.metric_names import SMALL_N, change_of, metric_name, place, smallest_sample
from biasmask.report.run_folder import Estimate, MetricKey, RunFolder, load_run_folder

GROUP_METRICS = ("tpr", "fpr", "balanced_accuracy", "auroc", "ppv", "selection_rate", "ece", "mean_score")
CSV_COLUMNS = (
    "model", "key", "split", "metric", "attribute", "group", "value", "low", "high", "n", "n_positive", "reason",
    "difference", "difference_low", "difference_high", "difference_reason", "confidence",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One key of the comparison: an estimate for each model, the paired difference, and what the figure rests on."""

    key: MetricKey
    label: str
    estimates: list[Estimate | None]
    difference: Estimate | None
    change: str | None
    n: int | None
    n_positive: int | None
    rests_on: int | None

    @property
    def brief(self) -> str:
        """A short label: a gap without that word, a rate by its abbreviation."""
        return metric_name(self.key.metric).brief + ("" if self.key.group is None else f", {self.key.group}")

    @property
    def small(self) -> bool:
        return self.rests_on is not None and self.rests_on < SMALL_N

    @property
    def caution(self) -> str | None:
        """What to know of a figure that is defined: groups that were left out, few samples, no interval."""
        found = [e.reason for e in [*self.estimates, self.difference] if e is not None and e.defined and e.reason]
        return found[0] if found else None

    @property
    def reason(self) -> str | None:
        """Why a figure or its difference is undefined, or what was left out of it."""
        found = [e.reason for e in [*self.estimates, self.difference] if e is not None and e.reason]
        return found[0] if found else None


@dataclass(frozen=True)
class Section:
    """Rows under one heading of the table."""

    title: str
    rows: list[Row]


def compare(run: RunFolder, test_set: str) -> list[Section]:
    """Lay out the figures of a test set: gaps of each debiased attribute, its groups, overall, then other attributes.

    Returns:
        Sections in reading order; sections with no row are left out.
    """
    keys = [key for key in run.keys if key.split == test_set]
    sections = []
    debiased = [attribute for attribute in run.attributes if attribute in run.debiased] or run.attributes[:1]
    for attribute in debiased:
        sections += attribute_sections(run, keys, attribute)
    overall = sorted((key for key in keys if key.attribute is None), key=lambda key: place(key.metric))
    sections.append(Section("Overall", [make_row(run, key) for key in overall]))
    for attribute in run.attributes:
        sections += attribute_sections(run, keys, attribute) if attribute not in debiased else []
    return [section for section in sections if section.rows]


def attribute_sections(run: RunFolder, keys: list[MetricKey], attribute: str) -> list[Section]:
    own = [key for key in keys if key.attribute == attribute]
    gaps = sorted((key for key in own if key.group is None), key=lambda key: place(key.metric))
    groups = run.groups(attribute)
    rates = [key for key in own if key.group is not None]
    rates.sort(key=lambda key: (rate_place(key.metric), groups.index(key.group or "")))
    return [
        Section(f"Gaps by {attribute}", [make_row(run, key) for key in gaps]),
        Section(f"Rates by {attribute}", [make_row(run, key) for key in rates]),
    ]


def rate_place(metric: str) -> int:
    return GROUP_METRICS.index(metric) if metric in GROUP_METRICS else len(GROUP_METRICS) + place(metric)


def make_row(run: RunFolder, key: MetricKey) -> Row:
    """Gather one key from all models."""
    estimates = [run.estimate(model, key) for model in run.models]
    difference = run.difference(key)
    label = metric_name(key.metric).label + ("" if key.group is None else f", {key.group}")
    counted = next((e for e in reversed(estimates) if e is not None and e.n is not None), Estimate())
    change = change_of(key.metric, difference)
    return Row(key, label, estimates, difference, change, counted.n, counted.n_positive, smallest_sample(run, key))


def write_metrics_csv(run_dir: Path | str) -> Path:
    """Write `metrics.csv` beside `metrics.json`: one row a model and key, undefined figures empty with their reason.

    The paired difference (final minus base) stands in the rows of the final model.

    Returns:
        Path of the file.

    Raises:
        StoreError: The folder has no figures, or can't be written to.
    """
    run = load_run_folder(run_dir)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for model, entries in run.estimates.items():
        for name, estimate in entries.items():
            key = MetricKey.parse(name)
            difference = run.difference(name) if model == run.final else None
            compared = difference or Estimate()
            cells = [
                model, name, key.split, key.metric, key.attribute, key.group,
                *map(plain, (estimate.value, estimate.low, estimate.high)), estimate.n, estimate.n_positive,
                estimate.reason, *map(plain, (compared.value, compared.low, compared.high)), compared.reason,
                run.confidence,
            ]  # fmt: skip
            writer.writerow(["" if cell is None else cell for cell in cells])
    file = run.path / "metrics.csv"
    write_atomically(file, text.getvalue())
    return file


def plain(value: float) -> str:
    """A number as text that reads back to the same number; empty for NaN.

    >>> plain(0.1), plain(float("nan"))
    ('0.1', '')
    """
    return repr(value) if math.isfinite(value) else ""
