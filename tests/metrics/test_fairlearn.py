"""Group figures on random tables against fairlearn: equal where both are defined, and NaN where fairlearn counts 0."""

import math
from collections.abc import Callable

import fairlearn.metrics as fm
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from biasmask.metrics.evaluation import MetricValue, evaluate_predictions

NAMES = ("a", "b", "c", "d", "e")
THRESHOLD = 0.5
# Our metric -> fairlearn's function, and the kinds of rows without which a group has none (there fairlearn gives 0).
RATES: dict[str, tuple[Callable[..., float], tuple[int, ...]]] = {
    "selection_rate": (fm.selection_rate, ()),
    "tpr": (fm.true_positive_rate, (1,)),
    "fpr": (fm.false_positive_rate, (0,)),
}


def precision(y: pd.Series, p: pd.Series) -> float:
    return sm.precision_score(y, p, zero_division=np.nan)


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, int]:
    """1-40 rows of 2-5 groups, some of which are empty, have one class, or miss the attribute; and the number of groups."""
    n_groups = draw(st.integers(2, 5))
    row = st.tuples(st.integers(-1, n_groups - 1), st.booleans(), st.integers(0, 8))
    numbers = draw(st.lists(row, min_size=1, max_size=40))
    one_class = draw(st.integers(-1, n_groups - 1))
    rows = [
        (None if group < 0 else NAMES[group], int(target and group != one_class), score / 8) for group, target, score in numbers
    ]
    frame = pd.DataFrame(rows, columns=["attribute:tone", "target", "score"])
    return frame.astype({"attribute:tone": object}).assign(row=range(len(rows))), n_groups


def evaluated(frame: pd.DataFrame, attribute: str, names: tuple[str, ...]) -> dict[str, MetricValue]:
    return evaluate_predictions(frame, {attribute: names}, THRESHOLD, n_bootstrap=0)


def frame_of(rows: pd.DataFrame, features: list[str], metrics: dict[str, Callable[..., float]]) -> fm.MetricFrame:
    return fm.MetricFrame(
        metrics=metrics,
        y_true=rows["target"],
        y_pred=(rows["score"] >= THRESHOLD).astype(int),
        sensitive_features=rows[features],
    )


def having(rows: pd.DataFrame, feature: str, *kinds: int) -> pd.DataFrame:
    """The rows of the groups that have each of the classes."""
    if rows.empty:  # pandas gives a frame without columns
        return rows
    return rows[rows.groupby(feature)["target"].transform(lambda targets: set(kinds) <= set(targets))]


@settings(max_examples=25, deadline=None)
@given(tables())
def test_rates_of_groups_equal_metric_frame(made: tuple[pd.DataFrame, int]) -> None:
    frame, n_groups = made
    values = evaluated(frame, "tone", NAMES[:n_groups])
    known = frame[frame["attribute:tone"].notna()]
    assert values["test/accuracy"].value == pytest.approx(sm.accuracy_score(frame["target"], frame["score"] >= THRESHOLD))
    if known.empty:
        assert all(math.isnan(value.value) for key, value in values.items() if "tone" in key)
        return
    metrics = {name: function for name, (function, _) in RATES.items()} | {"ppv": precision, "n": fm.count}
    by_group = frame_of(known, ["attribute:tone"], metrics).by_group
    for name in NAMES[:n_groups]:
        targets = set(known.loc[known["attribute:tone"] == name, "target"])
        for metric, (_, kinds) in RATES.items():
            value = values[f"test/{metric}/tone={name}"]
            if name not in by_group.index:  # fairlearn forgets a group without rows, we name it
                assert math.isnan(value.value) and value.reason == f"group {name} has no row"
            elif set(kinds) <= targets:
                assert value.value == pytest.approx(by_group.loc[name, metric], abs=1e-12)
            else:  # fairlearn says 0, which reads as the best FPR, or the worst TPR
                assert by_group.loc[name, metric] == 0.0 and math.isnan(value.value) and "has no" in value.reason
        if name in by_group.index:
            assert values[f"test/ppv/tone={name}"].value == pytest.approx(by_group.loc[name, "ppv"], abs=1e-12, nan_ok=True)
            assert values[f"test/tpr/tone={name}"].n == by_group.loc[name, "n"]
        balanced = values[f"test/balanced_accuracy/tone={name}"].value
        if targets == {0, 1}:
            rows = known[known["attribute:tone"] == name]
            assert balanced == pytest.approx(sm.balanced_accuracy_score(rows["target"], rows["score"] >= THRESHOLD), abs=1e-12)
        else:
            assert math.isnan(balanced)


@settings(max_examples=25, deadline=None)
@given(tables())
def test_gaps_equal_fairlearns_over_the_groups_that_have_the_rate(made: tuple[pd.DataFrame, int]) -> None:
    frame, n_groups = made
    values = evaluated(frame, "tone", NAMES[:n_groups])
    known = frame[frame["attribute:tone"].notna()]

    def difference(rows: pd.DataFrame, metric: str) -> float:
        if rows["attribute:tone"].nunique() < 2:  # fairlearn gives 0 for one group alone, which has nobody to compare with
            return math.nan
        return frame_of(rows, ["attribute:tone"], {metric: RATES[metric][0]}).difference()[metric]

    positive, negative = (having(known, "attribute:tone", kind) for kind in (1, 0))
    tpr_gap, fpr_gap = difference(positive, "tpr"), difference(negative, "fpr")
    expected = {
        "demographic_parity": difference(known, "selection_rate"),
        "equal_opportunity": tpr_gap,
        "fpr_gap": fpr_gap,
        "equalized_odds_mean": (tpr_gap + fpr_gap) / 2,
        "equalized_odds_max": np.maximum(tpr_gap, fpr_gap),
    }
    for name, value in expected.items():
        assert values[f"test/{name}/tone"].value == pytest.approx(value, abs=1e-12, nan_ok=True), name


@settings(max_examples=15, deadline=None)
@given(tables())
def test_gaps_are_fairlearns_own_where_each_group_has_both_classes(made: tuple[pd.DataFrame, int]) -> None:
    frame, n_groups = made
    complete = [NAMES[group] for group in range(n_groups)]
    extra = [(name, target, score) for name in complete for target, score in ((0, 0.25), (0, 0.75), (1, 0.25), (1, 0.75))]
    more = pd.DataFrame(extra, columns=["attribute:tone", "target", "score"])
    frame = pd.concat([frame[frame["attribute:tone"].notna()], more], ignore_index=True)
    values = evaluated(frame.assign(row=range(len(frame))), "tone", NAMES[:n_groups])
    y, p, groups = frame["target"], (frame["score"] >= THRESHOLD).astype(int), frame["attribute:tone"]
    expected = {
        "demographic_parity": fm.demographic_parity_difference(y, p, sensitive_features=groups),
        "equal_opportunity": fm.true_positive_rate_difference(y, p, sensitive_features=groups),
        "equalized_odds_mean": fm.equalized_odds_difference(y, p, sensitive_features=groups, agg="mean"),
        "equalized_odds_max": fm.equalized_odds_difference(y, p, sensitive_features=groups, agg="worst_case"),
    }
    assert {key: values[f"test/{key}/tone"].value for key in expected} == pytest.approx(expected, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(tables(), st.lists(st.sampled_from(["young", "old"]), min_size=40, max_size=40))
def test_crossed_groups_equal_metric_frame_with_two_features(made: tuple[pd.DataFrame, int], ages: list[str]) -> None:
    frame, n_groups = made
    frame = frame[frame["attribute:tone"].notna()].reset_index(drop=True)
    if frame.empty:
        return
    frame["age"] = ages[: len(frame)]
    frame["attribute:tone+age"] = frame["attribute:tone"] + "/" + frame["age"]
    names = tuple(f"{tone}/{age}" for tone in NAMES[:n_groups] for age in ("young", "old"))
    values = evaluated(frame, "tone+age", names)
    by_group = frame_of(frame, ["attribute:tone", "age"], {name: function for name, (function, _) in RATES.items()}).by_group
    for name in names:
        targets = set(frame.loc[frame["attribute:tone+age"] == name, "target"])
        for metric, (_, kinds) in RATES.items():
            value = values[f"test/{metric}/tone+age={name}"].value
            theirs = by_group[metric].get(tuple(name.split("/")), math.nan)
            if targets and set(kinds) <= targets:
                assert value == pytest.approx(theirs, abs=1e-12)
            else:
                assert math.isnan(value) and (math.isnan(theirs) or theirs == 0.0)
