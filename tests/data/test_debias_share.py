"""A share of the debias split: nested, stratified, subjects whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasmask.data.debias_share import nested_share
from biasmask.errors import ConfigError


def rows(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    return [f"s{k}" for k in rng.integers(0, max(1, n // 2), n)], rng.integers(0, 4, n)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.integers(0, 99), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_smaller_share_is_part_of_a_larger_one(n: int, seed: int, one: float, other: float) -> None:
    subjects, strata = rows(n, seed)
    small, large = (nested_share(subjects, strata, share, seed) for share in sorted((one, other)))
    assert not (small & ~large).any()
    assert nested_share(subjects, strata, 1.0, seed).all()
    for taken in (small, large):
        inside = {s for s, t in zip(subjects, taken, strict=True) if t}
        assert not inside & {s for s, t in zip(subjects, taken, strict=True) if not t}, "a subject was divided"


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_each_stratum_gives_its_share_and_none_is_emptied(share: float) -> None:
    strata = np.repeat([0, 1, 2], [400, 40, 3])
    taken = nested_share([f"s{k}" for k in range(443)], strata, share, seed=0)
    assert [int(taken[strata == k].sum()) for k in (0, 1)] == [400 * share, 40 * share]
    assert taken[strata == 2].sum() == max(1, np.ceil(3 * share))


def test_another_seed_takes_other_rows_and_the_order_of_the_table_is_nothing() -> None:
    subjects, strata = [f"s{k}" for k in range(100)], np.arange(100) % 2
    one, other = (nested_share(subjects, strata, 0.3, seed) for seed in (0, 1))
    assert (one != other).any() and one.sum() == other.sum() == 30
    assert nested_share(subjects[::-1], strata[::-1], 0.3, 0)[::-1].tolist() == one.tolist()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="debias_share"):
        nested_share(["a"], np.array([0]), share, 0)
