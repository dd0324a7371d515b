"""Rules that choose a candidate by validation figures, by hand."""

import math
from typing import Any

import pytest

from biasmask.metrics.selection_rules import BestAuroc, Candidate, Last, Pareto, SmallestGap, WorstGroupAuroc

BASE = Candidate("base", {"auroc": 0.9, "auroc_worst_group": 0.8, "equalized_odds_mean": 0.2, "score_std": 0.3}, "val")


def smallest(**changes: Any) -> SmallestGap:
    settings = {"unedited": True, "patience": None, "gap": "equalized_odds_mean", "auroc_tolerance": 0.01}
    return SmallestGap(**{**settings, **changes})


def epochs(*figures: tuple[float, float], **more: float) -> list[Candidate]:
    """Candidates of (AUROC, gap)."""
    own = [{"auroc": auroc, "equalized_odds_mean": gap, "score_std": 0.3, **more} for auroc, gap in figures]
    return [Candidate(f"epoch {number + 1}", each, "val") for number, each in enumerate(own)]


@pytest.mark.parametrize("split", ["test", "train", "debias", "", "VAL"])
def test_figures_of_no_other_split_make_a_candidate(split: str) -> None:
    with pytest.raises(ValueError, match="can't be selected on"):
        Candidate("epoch 1", {"auroc": 0.9}, split)


def test_smallest_gap_within_the_tolerance_of_the_base() -> None:
    choice = smallest()(epochs((0.9, 0.15), (0.891, 0.1), (0.889, 0.01)), BASE)
    assert choice.index == 1
    assert choice.refused == {"epoch 3": "AUROC 0.889 is below 0.890"}
    assert choice.reason == "epoch 2: equalized_odds_mean 0.100, AUROC 0.891 (base 0.900)"


def test_of_equal_gaps_the_better_auroc_and_then_the_first() -> None:
    assert smallest()(epochs((0.9, 0.1), (0.91, 0.1), (0.91, 0.1)), BASE).index == 1


def test_none_allowed_keeps_the_unedited_model_and_says_so() -> None:
    choice = smallest(unedited=False)(epochs((0.8, 0.0), (0.85, math.nan)), BASE)
    assert choice.index is None and len(choice.refused) == 2
    assert choice.reason.startswith("the unedited model is kept, none of 2 candidates is allowed (epoch 1: ")


def test_the_unedited_model_competes_where_it_is_told_to() -> None:
    worse = epochs((0.9, 0.25))
    assert smallest()(worse, BASE).index is None
    assert smallest(unedited=False)(worse, BASE).index == 0
    start = Candidate("unedited", {**BASE.figures, "equalized_odds_mean": 0.05}, "val")
    assert smallest()(epochs((0.9, 0.1)), BASE, start).index is None, "a later stage is judged against what it began with"
    lost = Candidate("unedited", {**BASE.figures, "equalized_odds_mean": 0.05, "auroc": 0.8}, "val")
    assert smallest()(epochs((0.9, 0.1)), BASE, lost).index == 0, "a start beyond the limit doesn't compete"


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"score_std": 0.02}, "score spread fell"), ({"auroc": 0.79}, "AUROC fell"), ({"auroc": 0.5}, "AUROC fell")],
)
def test_a_collapsed_candidate_is_never_chosen_and_is_named(changed: dict[str, float], words: str) -> None:
    lost = Candidate("epoch 2", {**BASE.figures, "equalized_odds_mean": 0.0, "auroc_worst_group": 1.0, **changed}, "val")
    rules = [smallest(auroc_tolerance=1.0), Last(False, None), BestAuroc(False, None), WorstGroupAuroc(False, None)]
    for rule in [*rules, Pareto(True, None, "equalized_odds_mean", 1.0)]:
        choice = rule([*epochs((0.9, 0.1), auroc_worst_group=0.8), lost], BASE)
        assert choice.index == 0 and list(choice.refused) == ["epoch 2"], rule
        assert choice.refused["epoch 2"].startswith("collapsed: ") and words in choice.refused["epoch 2"]
        assert "epoch 2" not in choice.front
        assert rule([lost], BASE).index is None


def test_highest_figures() -> None:
    found = [
        Candidate(f"epoch {k}", {"auroc": a, "auroc_worst_group": w}, "val") for k, (a, w) in enumerate([(0.9, 0.7), (0.85, 0.8)])
    ]
    assert BestAuroc(False, None)(found, BASE).index == 0
    assert WorstGroupAuroc(False, None)(found, BASE).index == 1
    undefined = [Candidate("epoch 1", {"auroc": 0.9}, "val")]
    assert WorstGroupAuroc(False, None)(undefined, BASE).refused == {"epoch 1": "auroc_worst_group is undefined"}


def test_pareto_names_what_no_other_beats_and_takes_the_smallest_gap_within_the_tolerance() -> None:
    found = epochs((0.92, 0.15), (0.895, 0.1), (0.85, 0.02), (0.84, 0.05), (0.92, 0.16), (0.7, 0.0))
    choice = Pareto(True, None, "equalized_odds_mean", 0.01)(found, BASE)
    assert choice.front == ("epoch 1", "epoch 2", "epoch 3"), "epoch 6 collapsed"
    assert choice.index == 1


def test_equal_points_are_both_on_the_front() -> None:
    rule = Pareto(True, None, "equalized_odds_mean", 0.01)
    assert rule(epochs((0.9, 0.1), (0.9, 0.1)), BASE).front == ("epoch 1", "epoch 2")


@pytest.mark.parametrize("rule", [smallest(), BestAuroc(False, None), Last(False, None), WorstGroupAuroc(True, None)])
def test_one_more_candidate_changes_the_choice_only_to_itself(rule: Any) -> None:
    """What lets a training keep the weights of one epoch only."""
    points = [(0.9, 0.15), (0.88, 0.0), (0.893, 0.1), (0.92, 0.1), (0.91, 0.3), (0.5, 0.0), (math.nan, 0.0), (0.9, 0.02)]
    found = [Candidate(c.name, {**c.figures, "auroc_worst_group": c.figures["auroc"] - 0.1}, c.split) for c in epochs(*points)]
    before = None
    for count in range(1, len(found) + 1):
        now = rule(found[:count], BASE).index
        assert now in (before, count - 1)
        before = now
    assert before is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"gap": "auroc"}, "selection.gap=auroc"), ({"auroc_tolerance": -0.1}, "auroc_tolerance"), ({"patience": 0}, "patience")],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        smallest(**changes)


def test_two_candidates_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="distinct"):
        Last(False, None)([Candidate("a", {}, "val"), Candidate("a", {}, "val")], BASE)
