"""StereoSet's three figures: by hand over target terms, ideal and useless models, pairing, undefined cases."""

import math
from dataclasses import astuple

import pytest
import torch
from torch import Tensor

from biasmask.metrics.stereoset import StereoSetScore, stereoset_difference, stereoset_scores

NAN = math.nan
TARGETS = ["nurse", "nurse", "nurse", "grandpa", "Iran"]
DOMAINS = ["profession", "profession", "profession", "gender", "race"]
SCORES = (
    torch.tensor([0.9, 0.9, 0.1, 0.2, 0.5]),  # stereotype
    torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5]),  # anti-stereotype
    torch.tensor([0.1, 0.7, 0.2, 0.1, 0.5]),  # unrelated
)


def values(score: StereoSetScore) -> list[float]:
    return [score.stereotype.value, score.language.value, score.icat.value]


def test_by_hand() -> None:
    found = stereoset_scores(*SCORES, TARGETS, DOMAINS)
    assert list(found) == ["all", "profession", "gender", "race"]
    # nurse: stereotype wins 2 of 3; of 6 comparisons with the unrelated word 1+1, 1+0, 0+1 are won
    assert values(found["profession"]) == pytest.approx([2 / 3, 4 / 6, 4 / 6 * (1 / 3) * 2])
    assert values(found["gender"]) == [0.0, 1.0, 0.0]
    # ties count half
    assert values(found["race"]) == [0.5, 0.5, 0.5]
    stereotype, language = (2 / 3 + 0 + 0.5) / 3, (4 / 6 + 1 + 0.5) / 3
    assert values(found["all"]) == pytest.approx([stereotype, language, language * stereotype * 2])
    assert [figure.n for figure in (found["all"].icat, found["profession"].icat)] == [3, 1]
    assert found["all"].stereotype.low < stereotype < found["all"].stereotype.high


@pytest.mark.parametrize(
    ("likely", "anti", "unrelated", "expected"),
    [
        ([2, 1], [1, 2], [0, 0], [0.5, 1.0, 1.0]),  # ideal
        ([2, 2], [1, 1], [0, 0], [1.0, 1.0, 0.0]),  # fully stereotyped
        ([1, 1], [1, 1], [1, 1], [0.5, 0.5, 0.5]),  # can't tell
    ],
)
def test_models_of_the_paper(likely: list[int], anti: list[int], unrelated: list[int], expected: list[float]) -> None:
    scores = [torch.tensor(each, dtype=torch.float64) for each in (likely, anti, unrelated)]
    found = stereoset_scores(scores[0], scores[1], scores[2], ["a", "b"], ["gender", "gender"])
    assert values(found["gender"]) == expected


def test_a_term_in_two_domains_is_two_terms() -> None:
    found = stereoset_scores(*(each[:2] for each in SCORES), ["her", "her"], ["gender", "race"])
    assert found["all"].stereotype.n == 2


def test_the_difference_is_paired() -> None:
    same = stereoset_difference(SCORES, SCORES, TARGETS, DOMAINS)
    for figure in (same["all"].stereotype, same["all"].language, same["all"].icat):
        assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)
    after = (SCORES[0] - 1, SCORES[1], SCORES[2])
    found = stereoset_difference(SCORES, after, TARGETS, DOMAINS)
    alone = [stereoset_scores(*scores, TARGETS, DOMAINS)["all"] for scores in (SCORES, after)]
    assert values(found["all"]) == pytest.approx([b - a for a, b in zip(*map(values, alone), strict=True)])


def test_an_item_without_a_score_is_left_out_of_both() -> None:
    broken = (torch.tensor([0.9, 0.9, 0.1, NAN, 0.5]), *SCORES[1:])
    found = stereoset_scores(*broken, TARGETS, DOMAINS)
    assert found["all"].icat.n == 2 and found["all"].icat.reason == "1 of 5 items have no score and are left out"
    assert math.isnan(found["gender"].icat.value) and found["gender"].icat.reason == "none of the 1 items has a score"
    for models in ((SCORES, broken), (broken, SCORES)):
        difference = stereoset_difference(*models, TARGETS, DOMAINS)
        assert difference["all"].stereotype.value == 0.0 and difference["all"].stereotype.n == 2
        assert math.isnan(difference["gender"].stereotype.value)


def test_nothing_is_undefined_and_lengths_must_fit() -> None:
    nothing: Tensor = torch.zeros(0)
    found = stereoset_scores(nothing, nothing, nothing, [], [])
    assert all(figure[4] == "no items" for figure in astuple(found["all"]))
    with pytest.raises(ValueError, match="5 targets and 4 domains"):
        stereoset_scores(*SCORES, TARGETS, DOMAINS[:4])
    with pytest.raises(ValueError, match="stereotype has shape"):
        stereoset_scores(SCORES[0][:2], *SCORES[1:], TARGETS, DOMAINS)
