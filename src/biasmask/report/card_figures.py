"""Figures of a model card: before, after and difference of every key, what got worse, and the verdict in words."""

import math
from typing import Any

from biasmask.metrics.levelling import WORSE
from biasmask.report.metric_names import SMALL_N, change_of, metric_name, place, smallest_sample
from biasmask.report.run_folder import TRAINING_SPLITS, Estimate, MetricKey, RunFolder
from biasmask.report.tables import rate_place
from biasmask.report.text_folder import load_text_run, pooling_words, seat_of
from biasmask.report.text_tables import SPLITS, heading, text_name
from biasmask.report.text_verdict import judge_text
from biasmask.report.verdict import judge


def names_of_sets(run: RunFolder) -> list[str]:
    """First parts of the keys that no training used, classes (`test:mel`) after their macro figures."""
    found = list(dict.fromkeys(key.split for key in run.keys))
    return sorted((name for name in found if name not in TRAINING_SPLITS), key=lambda name: name.partition(":")[0] != "test")


def figure_tables(run: RunFolder, text: bool) -> list[dict[str, Any]]:
    """A table a test set (for several classes: one of macro figures, then one a class); of a text run one table of all."""
    if text:
        return [{"test_set": "text", "class": None, "figures": [figure_row(run, key, text) for key in run.keys]}]
    tables = []
    for name in names_of_sets(run):
        test_set, _, class_name = name.partition(":")
        keys = sorted((key for key in run.keys if key.split == name), key=lambda key: order(run, key))
        figures = [figure_row(run, key, text) for key in keys]
        tables.append({"test_set": test_set, "class": class_name or None, "figures": figures})
    return tables


def order(run: RunFolder, key: MetricKey) -> tuple[int, int, int, int, int]:
    """Overall figures first, then each attribute's gaps, then its groups."""
    if key.attribute is None:
        return 0, 0, 0, place(key.metric), 0
    attribute = run.attributes.index(key.attribute)
    if key.group is None:
        return 1, attribute, 0, place(key.metric), 0
    return 1, attribute, 1, rate_place(key.metric), run.groups(key.attribute).index(key.group)


def figure_row(run: RunFolder, key: MetricKey, text: bool) -> dict[str, Any]:
    """One key: before, after and paired difference with intervals, rows behind it, and whether these are few."""
    before, after = run.estimate(run.base, key), run.estimate(run.final, key)
    counted = after or before or Estimate()
    rests_on = counted.n if text else smallest_sample(run, key)
    return {
        "key": str(key), "metric": key.metric, "attribute": key.attribute, "group": key.group,
        "label": text_label(key) if text else metric_name(key.metric).label,
        "before": plain(before), "after": plain(after), "difference": plain(run.difference(key)),
        "n": counted.n, "n_positive": counted.n_positive, "rests_on": rests_on,
        "few": rests_on is not None and rests_on < SMALL_N and not text,
    }  # fmt: skip


def text_label(key: MetricKey) -> str:
    """Test and figure of a text run's key.

    >>> text_label(MetricKey("seat6b_cls", "effect_size")), text_label(MetricKey("crows_pairs", "stereotype_score"))
    ('SEAT 6b, [CLS] pooling: Effect size d', 'CrowS-Pairs: Stereotype score')
    """
    seat = seat_of(key.split)
    test = f"{f'SEAT {seat[0]}'.strip()}, {pooling_words(seat[1])}" if seat else SPLITS.get(key.split, heading(key.split))
    return f"{test}: {text_name(key).label}"


def plain(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    numbers = {name: getattr(estimate, name) for name in ("value", "low", "high")}
    found = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {**found, "reason": estimate.reason}


def got_worse(run: RunFolder, text: bool) -> list[dict[str, Any]]:
    """Groups (of a text run: tests) that the paired interval shows to be worse off than before."""
    if text:
        return [{"test_set": "text", "words": words} for words in judge_text(load_text_run(run.path)).worse]
    found = []
    for name in names_of_sets(run):
        for key in (key for key in run.keys if key.split == name and key.group is not None and key.metric in WORSE):
            difference = run.difference(key)
            if change_of(key.metric, difference) == "worse":
                row = figure_row(run, key, text)
                found.append({"test_set": name, **{part: row[part] for part in row if part not in ("n_positive", "rests_on")}})
    return found


def verdicts(run: RunFolder, text: bool) -> list[dict[str, str]]:
    """The report's verdict on each test set: its state and its sentences."""
    if text:
        found = judge_text(load_text_run(run.path))
        return [{"test_set": "text", "state": found.state, "sentence": found.sentence}]
    names = [name for name in names_of_sets(run) if ":" not in name]
    judged = [(name, judge(run, name)) for name in names]
    return [{"test_set": name, "state": verdict.state, "sentence": verdict.sentence} for name, verdict in judged]
