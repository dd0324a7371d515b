"""Masks: exact counts, ties, nesting, granularity, controls, percentiles, and the published code's ratio and masks."""

import math
import warnings

import numpy as np
import pytest
import torch

from biasmask.methods.importance_score import ConstantImportanceWarning, importance_difference, importance_ratio, min_max
from biasmask.methods.weight_mask import (
    bias_only,
    density,
    hard_mask,
    hard_masks,
    ones_mask,
    random_mask,
    reference_mask,
    threshold_of,
)

SHAPES = {"stem.weight": (8, 3, 3, 3), "stem.bias": (8,), "norm.weight": (8,), "fc.weight": (5, 8), "scale": ()}


def _scores(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=generator, dtype=dtype) for name, shape in SHAPES.items()}


def _count(mask):
    return sum(int(part.sum()) for part in mask.values())


N = sum(math.prod(shape) for shape in SHAPES.values())


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.25, 0.5, 0.731, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_exact_count_of_the_highest(fraction, dtype):
    scores = {name: score.to(dtype) for name, score in _scores().items()}
    mask = hard_mask(scores, fraction)
    assert _count(mask) == round(fraction * N)
    inside = torch.cat([scores[name][mask[name]].flatten() for name in SHAPES])
    outside = torch.cat([scores[name][~mask[name]].flatten() for name in SHAPES])
    assert len(outside) == 0 or inside.min() >= outside.max()
    assert all(mask[name].shape == scores[name].shape and mask[name].dtype == torch.bool for name in SHAPES)


def test_ties_go_to_the_earlier_parameter_then_the_smaller_index():
    scores = {"b": torch.tensor([[1.0, 2.0], [1.0, 1.0]]), "a": torch.tensor([1.0, 2.0])}
    mask = hard_mask(scores, 4 / 6)
    assert mask["b"].tolist() == [[True, True], [True, False]]
    assert mask["a"].tolist() == [False, True]
    swapped = hard_mask({name: scores[name] for name in ("a", "b")}, 4 / 6)
    assert swapped["a"].tolist() == [True, True]
    assert swapped["b"].tolist() == [[True, True], [False, False]]


def test_memory_format_does_not_change_the_mask():
    score = torch.randint(3, (4, 3, 2, 2), generator=torch.Generator().manual_seed(0)).float()
    plain = hard_mask({"w": score}, 0.4)["w"]
    assert torch.equal(hard_mask({"w": score.to(memory_format=torch.channels_last)}, 0.4)["w"], plain)


@pytest.mark.parametrize("granularity", ["weight", "channel", "layer"])
def test_several_fractions_are_nested_and_the_same_as_one_by_one(granularity):
    scores = {name: (score * 10).round() for name, score in _scores().items()}
    fractions = [0.5, 0.05, 0.2, 0.9] if granularity != "layer" else [0.9, 0.5, 0.2]
    masks = hard_masks(scores, fractions, granularity)
    for fraction in fractions:
        alone = hard_mask(scores, fraction, granularity)
        assert all(torch.equal(masks[fraction][name], alone[name]) for name in SHAPES)
    for small, large in zip(sorted(fractions), sorted(fractions)[1:], strict=False):
        assert all(bool((~masks[small][name] | masks[large][name]).all()) for name in SHAPES)


def test_channels_are_whole_rows_by_their_mean():
    scores = {"w": torch.tensor([[0.0, 1.0], [0.6, 0.6], [0.2, 0.2]]), "b": torch.tensor([0.55, 0.1, 0.3])}
    # Means: rows .5 .6 .2 (2 parameters each), entries .55 .1 .3 (1 each).
    mask = hard_mask(scores, 5 / 9, "channel")
    assert mask["w"].tolist() == [[True, True], [True, True], [False, False]]
    assert mask["b"].tolist() == [True, False, False]


def test_layers_are_modules_by_their_mean():
    scores = {
        "a.weight": torch.tensor([0.1, 0.1]),
        "a.bias": torch.tensor([0.9]),
        "b.weight": torch.tensor([0.5, 0.5, 0.5]),
        "token": torch.tensor([0.2]),
    }
    mask = hard_mask(scores, 0.45, "layer")
    assert {name: part.all().item() for name, part in mask.items()} == {
        "a.weight": False,
        "a.bias": False,
        "b.weight": True,
        "token": False,
    }


def test_budget_counts_parameters_and_the_nearest_number_of_units_is_taken():
    scores = {"w": torch.tensor([[3.0] * 4, [2.0] * 4, [1.0] * 4])}
    assert [_count(hard_mask(scores, f, "channel")) for f in (0.25, 0.45, 0.55, 0.9)] == [4, 4, 8, 12]
    with pytest.raises(ValueError, match="at most half of the first channel"):
        hard_mask(scores, 0.1, "channel")


@pytest.mark.parametrize("granularity", ["weight", "channel", "layer"])
def test_random_mask_has_the_density_and_its_seed(granularity):
    like = _scores()
    mask = random_mask(like, 0.6, seed=3, granularity=granularity)
    again = random_mask({name: score + 1 for name, score in like.items()}, 0.6, seed=3, granularity=granularity)
    other = random_mask(like, 0.6, seed=4, granularity=granularity)
    assert all(torch.equal(mask[name], again[name]) for name in SHAPES)
    assert any(not torch.equal(mask[name], other[name]) for name in SHAPES)
    if granularity == "weight":
        assert _count(mask) == round(0.6 * N)


def test_random_channels_are_whole_and_small_ones_no_likelier():
    like = {"wide": torch.zeros(200, 30), "narrow": torch.zeros(200, 2)}
    mask = random_mask(like, 0.5, seed=0, granularity="channel")
    assert bool((mask["wide"].all(1) == mask["wide"].any(1)).all())
    assert density(mask)["narrow"] == pytest.approx(0.5, abs=0.12)


def test_ones_and_bias_only_and_density():
    scores = _scores()
    assert set(density(ones_mask(scores)).values()) == {1.0}
    bias = {"w": torch.tensor([0.0, 1e-9, 2e-9]), "v": torch.tensor([0.0, 5.0, 1.0])}
    assert {name: part.tolist() for name, part in bias_only(bias, 3 / 6).items()} == {
        "w": [False, True, True],
        "v": [False, True, False],
    }
    assert math.isnan(density({"empty": torch.zeros(0, dtype=torch.bool)})["empty"])


def test_the_difference_asks_for_much_bias_where_the_ratio_asks_for_little_task():
    bias = {"w": torch.tensor([0.0, 1.0, 0.05, 0.3])}
    task = {"w": torch.tensor([0.5, 0.6, 0.0, 1.0])}
    difference = importance_difference(bias, task)["w"]
    assert torch.allclose(difference, torch.tensor([-0.5, 0.4, 0.05, -0.7]))
    assert difference.argmax() == 1 and importance_ratio(bias, task, 0.01)["w"].argmax() == 2
    with pytest.raises(ValueError, match="same parameters"):
        importance_difference(bias, {"v": task["w"]})


def test_constant_tensors_count_as_zero_with_one_warning_that_names_them():
    bias = {"a": torch.tensor([2.0, 2.0]), "b": torch.tensor([0.0, 1.0]), "c": torch.tensor([7.0])}
    task = {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([3.0, 3.0]), "c": torch.tensor([1.0])}
    with pytest.warns(ConstantImportanceWarning, match="in 3 tensor.*: a, c, b") as caught:
        ratio = importance_ratio(bias, task)
    assert len(caught) == 1
    assert ratio["a"].tolist() == [0, 0]
    assert ratio["b"].tolist() == pytest.approx([0, 1e10])
    assert ratio["c"].tolist() == [0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        min_max({"b": bias["b"]})


def test_min_max_works_on_tiny_and_on_empty_tensors():
    scaled = min_max({"w": torch.tensor([1e-30, 3e-30, 2e-30]), "none": torch.zeros(0)})
    assert scaled["w"].tolist() == pytest.approx([0, 1, 0.5])
    assert scaled["none"].shape == (0,)


@pytest.mark.parametrize("rate", [0, 10, 33.3, 50, 90, 99.9, 100])
@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_threshold_is_numpys_percentile(rate, n):
    values = torch.rand(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    ours = threshold_of({"a": values[: n // 2], "b": values[n // 2 :]}, rate)
    assert ours == pytest.approx(np.percentile(values.numpy(), rate), rel=1e-12)


def test_scores_are_not_reordered():
    score = torch.tensor([3.0, 1.0, 2.0])
    threshold_of({"w": score}, 50)
    hard_mask({"w": score}, 0.5)
    assert score.tolist() == [3, 1, 2]


def test_reference_mask_is_strict_and_exact_in_single_precision():
    low = torch.tensor(1.0)
    high = torch.nextafter(low, torch.tensor(2.0))
    # The threshold lies between two neighbouring numbers: the upper one is above it although float32 cannot say so.
    mask = reference_mask({"w": torch.stack([low, low, high, high])}, 100 * 1.6 / 3)
    assert mask["w"].tolist() == [False, False, True, True]
    assert reference_mask({"w": torch.tensor([1.0, 2.0, 2.0, 3.0])}, 50)["w"].tolist() == [False, False, False, True]
    with pytest.raises(ValueError, match="no score lies above"):
        reference_mask({"w": torch.ones(4)}, 50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hard_mask(_scores(), 0), "must be above 0"),
        (lambda: hard_mask(_scores(), 1.1), "at most 1"),
        (lambda: hard_mask(_scores(), 1e-4), "selects none"),
        (lambda: hard_mask(_scores(), 0.5, "row"), "granularity is 'row'"),
        (lambda: hard_mask({}, 0.5), "no scores"),
        (lambda: hard_mask({"good": torch.ones(2), "bad": torch.tensor([torch.nan])}, 0.5), "scores of bad"),
        (lambda: threshold_of(_scores(), 101), "between 0 and 100"),
        (lambda: min_max({"bad": torch.tensor([0.0, torch.inf])}), "importance of bad"),
        (lambda: min_max({"bad": torch.tensor([0.0, torch.nan])}), "importance of bad"),
        (lambda: importance_ratio({"a": torch.ones(2)}, {"b": torch.ones(2)}), "same parameters"),
        (lambda: importance_ratio({"a": torch.ones(2)}, {"a": torch.ones(3)}), "same parameters"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.filterwarnings("ignore::biasmask.methods.importance_score.ConstantImportanceWarning")
@pytest.mark.parametrize(("file", "tolerance"), [("bmft_small.pt", 1.2e-4), ("bmft_small_f64.pt", 1e-9)])
@pytest.mark.parametrize("criterion", ["eodds", "spd", "eopp"])
def test_ratio_threshold_and_mask_of_the_published_code(oracles, file, tolerance, criterion):
    data = oracles(file)
    backbone = [name for name in data["names"] if name.startswith("net.")]
    bias, task = data["imp"][f"bias/{criterion}/fisher"], data["imp"]["loss/fisher"]
    ratio = importance_ratio({name: bias[name] for name in backbone}, {name: task[name] for name in backbone})
    for name in backbone:
        assert torch.allclose(ratio[name], data["ratio"][criterion][name], rtol=tolerance, atol=tolerance), name
    for rate in (10, 50, 90):
        assert threshold_of(ratio, rate) == pytest.approx(data["threshold"][f"{criterion}/{rate}"], rel=max(tolerance, 1e-6))
    published = data["mask"][f"{criterion}/50"]
    for mask in (reference_mask(ratio, 50), hard_mask(ratio, 0.5)):
        assert all(torch.equal(mask[name], published[name]) for name in backbone)
    assert not any(part.any() for name, part in published.items() if name not in backbone)
