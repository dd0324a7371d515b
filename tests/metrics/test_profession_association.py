"""Lean of professions and its gap: by hand, what cancels, clusters, undefined cases."""

import math

import pytest
import torch

from biasmask.metrics.profession_association import profession_association

NAMES = ["carpenter", "carpenter", "guard", "nurse", "clerk", "baker"]
GENDERS = ["male", "male", "male", "female", "female", "balanced"]
HE = torch.tensor([0.5, 0.7, 0.4, 0.1, 0.3, 0.2])
SHE = torch.tensor([0.4, 0.4, 0.4, 0.3, 0.3, 0.1])


def test_by_hand() -> None:
    found = profession_association(HE, SHE, NAMES, GENDERS)
    assert list(found) == ["gap", "male", "female", "balanced"]
    # carpenter (0.1 + 0.3) / 2, guard 0; nurse -0.2, clerk 0; baker 0.1
    assert found["male"].value == pytest.approx(0.1) and found["male"].n == 2
    assert found["female"].value == pytest.approx(-0.1) and found["balanced"].value == pytest.approx(0.1)
    assert found["gap"].value == pytest.approx(0.1) and found["gap"].n == 4
    assert found["gap"].low <= 0.1 <= found["gap"].high


def test_a_lean_of_all_professions_cancels() -> None:
    base, shifted = (profession_association(HE + lean, SHE, NAMES, GENDERS) for lean in (0.0, 0.3))
    assert shifted["gap"].value == pytest.approx(base["gap"].value, abs=1e-7)
    assert shifted["male"].value == pytest.approx(base["male"].value + 0.3, abs=1e-6)
    swapped = profession_association(SHE, HE, NAMES, GENDERS)
    assert swapped["gap"].value == pytest.approx(-base["gap"].value)


def test_items_of_one_profession_do_not_narrow_the_interval() -> None:
    once = profession_association(HE, SHE, NAMES, GENDERS)["gap"]
    often = profession_association(HE.repeat(20), SHE.repeat(20), NAMES * 20, GENDERS * 20)["gap"]
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_the_difference_of_two_models() -> None:
    after_he, after_she = HE * 0.5, SHE * 0.5
    base, after = (profession_association(*each, NAMES, GENDERS)["gap"] for each in ((HE, SHE), (after_he, after_she)))
    change = profession_association(after_he - HE, after_she - SHE, NAMES, GENDERS)["gap"]
    assert change.value == pytest.approx(after.value - base.value)


def test_undefined_items_and_missing_genders_have_a_reason() -> None:
    lost = HE.clone()
    lost[3] = math.nan
    found = profession_association(lost, SHE, NAMES, GENDERS)
    assert found["female"].n == 1 and found["gap"].reason == "1 of 6 items undefined and left out"
    lost[4] = math.nan
    found = profession_association(lost, SHE, NAMES, GENDERS)
    assert math.isnan(found["female"].value) and found["female"].reason == "none of its items has a cosine"
    assert math.isnan(found["gap"].value) and found["gap"].reason == "no profession with a cosine that is mostly female"
    assert (
        profession_association(HE[:0], SHE[:0], [], [])["gap"].reason
        == "no profession with a cosine that is mostly male or female"
    )


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="male_cosine has shape"):
        profession_association(HE[:2], SHE, NAMES, GENDERS)
    with pytest.raises(ValueError, match="6 professions and 5 genders"):
        profession_association(HE, SHE, NAMES, GENDERS[:5])
    with pytest.raises(ValueError, match="'carpenter' is under two genders: male and female"):
        profession_association(HE, SHE, NAMES, ["male", "female", *GENDERS[2:]])
