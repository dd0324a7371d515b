"""WEAT effect sizes: by hand, against the textbook loop and the reference's numbers, invariances, undefined cases."""

import math
import statistics
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biasmask.metrics.association import (
    association,
    associations_reason,
    effect_size,
    measure_effect_size,
    standardised_difference,
)

ORACLE = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "weat.pt"


def sets(seed: int, sizes: tuple[int, int, int, int] = (7, 5, 6, 3), dimensions: int = 9) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, dimensions, generator=generator, dtype=torch.float64) for size in sizes]


def textbook(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> float:
    """One cosine after the other."""

    def cosine(u: Tensor, v: Tensor) -> float:
        return float((u * v).sum() / (u.square().sum().sqrt() * v.square().sum().sqrt()))

    def s(w: Tensor) -> float:
        return statistics.fmean(cosine(w, v) for v in a) - statistics.fmean(cosine(w, v) for v in b)

    of_x, of_y = [s(w) for w in x], [s(w) for w in y]
    return (statistics.fmean(of_x) - statistics.fmean(of_y)) / statistics.stdev(of_x + of_y)


def test_by_hand() -> None:
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    # s = cos with east - cos with north: 1, 0, -1, -1
    x, y = torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 3.0], [0.0, 1.0]])
    assert association(torch.cat([x, y]), east, north).tolist() == [1.0, 0.0, -1.0, -1.0]
    # means 1/2 and -1; deviations from -1/4: 5/4, 1/4, -3/4, -3/4; sum of squares 11/4, over 3
    assert effect_size(x, y, east, north).item() == pytest.approx(1.5 / math.sqrt(11 / 12))


@pytest.mark.parametrize("sizes", [(7, 5, 6, 3), (2, 2, 1, 1), (1, 4, 3, 2), (1, 1, 2, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_textbook_loop(seed: int, sizes: tuple[int, int, int, int]) -> None:
    given_sets = sets(seed, sizes)
    assert effect_size(*given_sets).item() == pytest.approx(textbook(*given_sets), abs=1e-12)


@pytest.mark.skipif(not ORACLE.is_file(), reason="the reference's numbers (shared/oracles/weat.pt) are not here")
@pytest.mark.parametrize("case", ["n8_d32", "n64_d768", "uneven", "single"])
def test_equals_the_reference(case: str) -> None:
    oracle = torch.load(ORACLE, weights_only=True)
    x, y, a, b = (oracle["inputs"][case][key] for key in "XYAB")
    expected = oracle["results"][case]
    s_x, s_y = association(x, a, b), association(y, a, b)
    assert effect_size(x, y, a, b).item() == pytest.approx(expected["effect_size"].item(), abs=3e-7)
    assert effect_size(x, y, a, b).item() == pytest.approx(expected["seat_compute"].item(), abs=3e-7)
    assert s_x.numpy() == pytest.approx(expected["s_wAB_X"].numpy(), abs=3e-7)
    # the reference's test statistic: a sum over targets in float32
    assert (s_x.sum() - s_y.sum()).item() == pytest.approx(expected["s_XYAB"].item(), rel=3e-7, abs=3e-7)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6), m=st.integers(2, 6), length=st.floats(1e-3, 1e3))
def test_invariances(seed: int, n: int, m: int, length: float) -> None:
    x, y, a, b = sets(seed, (n, m, 3, 4))
    d = effect_size(x, y, a, b).item()
    assert effect_size(y, x, a, b).item() == pytest.approx(-d, abs=1e-9)
    assert effect_size(x, y, b, a).item() == pytest.approx(-d, abs=1e-9)
    assert effect_size(x * length, y, a / length, b).item() == pytest.approx(d, abs=1e-9)
    assert effect_size(x.flip(0), y.roll(1, 0), a.flip(0), b).item() == pytest.approx(d, abs=1e-9)
    rotation = torch.linalg.qr(sets(seed + 1, (9, 1, 1, 1))[0]).Q
    assert effect_size(*(vectors @ rotation for vectors in (x, y, a, b))).item() == pytest.approx(d, abs=1e-9)
    if n == m:
        assert abs(d) < 2


def test_float32_and_float16_are_computed_in_float64() -> None:
    given_sets = [vectors.half() for vectors in sets(5)]
    d = effect_size(*given_sets)
    assert d.dtype == torch.float64
    assert d.item() == pytest.approx(textbook(*(vectors.double() for vectors in given_sets)), abs=1e-12)


def test_a_large_common_part_loses_no_digits() -> None:
    s_x, s_y = torch.tensor([1e6, 1e6 + 1]), torch.tensor([1e6 - 1])
    assert standardised_difference(s_x, s_y).item() == pytest.approx(1.5)
    given_sets = [vectors + 30 for vectors in sets(3)]
    assert effect_size(*given_sets).item() == pytest.approx(textbook(*given_sets), abs=1e-9)


@pytest.mark.parametrize("common", [torch.ones(5, 9), torch.ones(5, 9) + 1e-9 * sets(0)[1]])
def test_identical_embeddings_have_no_effect_size(common: Tensor) -> None:
    _, _, a, b = sets(0)
    found = measure_effect_size(common.float(), common.float(), a, b)
    assert math.isnan(found.value) and found.n == 10
    assert found.reason == "the 10 targets all have the same association: their embeddings are identical or nearly so"


@pytest.mark.parametrize(("which", "letter"), list(enumerate("XYAB")))
@pytest.mark.parametrize(("filling", "word"), [(0.0, "zero"), (math.nan, "not finite"), (math.inf, "not finite")])
def test_vectors_without_direction_are_named(which: int, letter: str, filling: float, word: str) -> None:
    given_sets = sets(1)
    given_sets[which][0] = filling
    found = measure_effect_size(*given_sets)
    assert math.isnan(found.value) and math.isnan(effect_size(*given_sets).item())
    assert found.reason == f"1 of the {len(given_sets[which])} embeddings of {letter} are {word}: they have no direction"


@pytest.mark.parametrize(("which", "letter"), list(enumerate("XYAB")))
def test_an_empty_set_is_undefined(which: int, letter: str) -> None:
    given_sets = sets(1)
    given_sets[which] = given_sets[which][:0]
    found = measure_effect_size(*given_sets)
    assert math.isnan(found.value) and found.reason == f"{letter} is empty"


def test_one_target_in_each_set_warns() -> None:
    x, y, a, b = sets(2, (1, 1, 3, 3))
    found = measure_effect_size(x, y, a, b)
    assert abs(found.value) == pytest.approx(math.sqrt(2))
    assert found.reason == "one target in each set: the effect size is ±√2 whatever the embeddings are"


def test_reasons_of_associations() -> None:
    s = torch.tensor([0.1, 0.2])
    assert associations_reason(s, s + 1) is None
    assert associations_reason(s[:0], s) == "X is empty"
    assert associations_reason(s, torch.tensor([math.nan, 1.0])) == "1 of the 2 associations of Y are undefined"


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, y, a, b = sets(0)
    with pytest.raises(ValueError, match=r"set w has shape \(9,\)"):
        effect_size(x[0], y, a, b)
    with pytest.raises(ValueError, match="embeddings of different models can't be compared: dimensions are w 9, a 9, b 4"):
        effect_size(x, y, a, b[:, :4])
    with pytest.raises(ValueError, match="one number a target"):
        standardised_difference(x, y[0])
