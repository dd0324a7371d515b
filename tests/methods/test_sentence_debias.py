"""SentenceDebias on planted differences: they are gone, what the variants share stays."""

import pytest
import torch
from torch.testing import assert_close

from biasmask.methods.null_space import removed_rank
from biasmask.methods.sentence_debias import sentence_debias_projection


def variants(n_groups: int, n_directions: int, n: int = 60, size: int = 9, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences whose variants differ along some directions alone: (K, N, D), and the directions (D, r)."""
    generator = torch.manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(size, n_directions, generator=generator).double()).Q
    common = torch.randn(n, size, generator=generator).double()
    return common + torch.randn(n_groups, n, n_directions, generator=generator).double() @ directions.T, directions


@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_planted_directions_are_gone_and_all_others_stay(n_groups: int) -> None:
    x, directions = variants(n_groups, 2)
    projection, share = sentence_debias_projection(x, 2)
    assert_close(projection, torch.eye(9).double() - directions @ directions.T, rtol=0, atol=1e-9)
    assert sum(share) == pytest.approx(1) and share[0] >= share[1]
    projected = x @ projection
    assert_close(projected, projected[:1].expand_as(projected), rtol=0, atol=1e-9)


def test_it_is_an_orthogonal_projection_of_the_rank_asked_for() -> None:
    x = torch.randn(2, 50, 6, generator=torch.manual_seed(0))
    projection, share = sentence_debias_projection(x, 3)
    assert removed_rank(projection) == 3 and projection.dtype == torch.float32
    assert_close(projection @ projection, projection, rtol=0, atol=1e-6)
    assert_close(projection, projection.T)
    assert share == sorted(share, reverse=True) and 0 < sum(share) < 1


def test_a_shift_of_a_sentence_changes_nothing() -> None:
    x, _ = variants(2, 1)
    moved = x + 100 * torch.randn(1, 60, 9, generator=torch.manual_seed(4)).double()
    first, second = (sentence_debias_projection(each, 1)[0] for each in (x, moved))
    assert_close(first, second, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("x", "n_components", "match"),
    [
        (torch.ones(1, 3, 2), 1, "groups >= 2"),
        (torch.ones(2, 0, 2), 1, "sentences >= 1"),
        (torch.ones(2, 3, 2), 1, "differ in 0 directions"),
        (variants(2, 1)[0], 2, "differ in 1 directions"),
        (variants(2, 1)[0], 0, "n_components=0"),
        (torch.full((2, 3, 2), torch.inf), 1, "NaN or infinity"),
    ],
)
def test_what_can_not_work_is_refused(x: torch.Tensor, n_components: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        sentence_debias_projection(x, n_components)
