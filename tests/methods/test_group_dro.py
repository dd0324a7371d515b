"""Group DRO: the cells, their weights, and the loss made of them."""

import math

import pytest
import torch
import torch.nn.functional as F

from biasmask.methods.group_dro import cell_sums, cells_of, first_weights, next_weights, robust_loss, sample_losses


def test_by_hand_on_a_batch_of_five() -> None:
    """Two groups, two classes; the cell (1, 0) is missing and one sample has no group."""
    z = torch.tensor([0.0, 1.0, -1.0, 2.0, 9.0], requires_grad=True)
    y, a = torch.tensor([0, 1, 1, 1, 0]), torch.tensor([0, 0, 0, 1, -1])
    sums, counts = cell_sums(sample_losses(z, y), cells_of(a, y, 2), 4)
    assert counts.tolist() == [1, 2, 0, 1]
    losses = [math.log(2), (math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2, math.log1p(math.exp(-2))]
    assert (sums / counts).detach()[[0, 1, 3]].tolist() == pytest.approx(losses)

    weights = next_weights(torch.tensor([0.25, 0.25, 0.25, 0.25]), sums, counts, eta=0.5)
    raw = [0.25 * math.exp(0.5 * loss) for loss in (losses[0], losses[1], 0.0, losses[2])]
    assert weights.tolist() == pytest.approx([value / sum(raw) for value in raw])
    assert not weights.requires_grad

    value = robust_loss(weights, sums, counts)
    assert float(value.detach()) == pytest.approx(
        sum(float(weights[k]) * loss for k, loss in zip((0, 1, 3), losses, strict=True))
    )
    (gradient,) = torch.autograd.grad(value, z)
    assert gradient[4] == 0, "a sample without a group trains nothing"
    assert float(gradient[0]) == pytest.approx(float(weights[0]) * 0.5)


def test_one_cell_with_all_weight_is_its_own_mean_loss() -> None:
    z, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
    cell = cells_of(torch.arange(40) // 3 % 2, y, 3)
    sums, counts = cell_sums(sample_losses(z, y), cell, 6)
    for k in range(6):
        weights = torch.eye(6)[k]
        assert torch.isclose(robust_loss(weights, sums, counts), F.cross_entropy(z[cell == k], y[cell == k]))


def test_the_weights_run_to_the_cell_that_stays_worst() -> None:
    weights = first_weights(torch.tensor([10, 10, 0, 10]))
    for _ in range(400):
        weights = next_weights(weights, torch.tensor([1.0, 2.0, 0.0, 1.5]), torch.tensor([1.0, 1.0, 0.0, 1.0]), eta=0.1)
        assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
    assert weights.argmax() == 1 and weights[1] > 0.999
    assert weights[2] == 0, "a cell without any row has no weight that it could take from the others"


def test_eta_of_0_keeps_the_weights_and_a_huge_one_is_no_nan() -> None:
    weights, sums, counts = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 3.0]), torch.ones(2)
    assert torch.equal(next_weights(weights, sums, counts, eta=0.0), weights)
    assert next_weights(weights, sums, counts, eta=1e6).tolist() == [0.0, 1.0]


def test_the_adjustment_lifts_small_cells() -> None:
    sums, counts, sizes = torch.tensor([1.0, 1.0]), torch.ones(2), torch.tensor([100, 4])
    plain = next_weights(torch.ones(2) / 2, sums, counts, 1.0, sizes)
    lifted = next_weights(torch.ones(2) / 2, sums, counts, 1.0, sizes, adjustment=2.0)
    assert torch.equal(plain, torch.ones(2) / 2)
    assert float(lifted[1] / lifted[0]) == pytest.approx(math.exp(2 / 2 - 2 / 10))


def test_two_processes_together_have_the_gradient_of_one() -> None:
    """Each counts the rows of both and takes its loss twice; their gradients are averaged."""
    z = torch.randn(12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y, a, weights = torch.arange(12) % 2, torch.arange(12) // 2 % 3 - 1, torch.tensor([0.4, 0.1, 0.3, 0.2])
    one = cell_sums(sample_losses(z, y), cells_of(a, y, 2), 4)
    (whole,) = torch.autograd.grad(robust_loss(weights, *one), z)
    halves = [
        cell_sums(sample_losses(z[part], y[part]), cells_of(a[part], y[part], 2), 4) for part in (slice(0, 5), slice(5, 12))
    ]
    counts = halves[0][1] + halves[1][1]
    losses = [2 * robust_loss(weights, sums, counts) for sums, _ in halves]
    (together,) = torch.autograd.grad((losses[0] + losses[1]) / 2, z)
    torch.testing.assert_close(together, whole)


def test_a_batch_without_groups_is_a_zero_with_a_graph() -> None:
    z, y = torch.tensor([1.0, torch.nan], requires_grad=True), torch.tensor([0, 1])
    sums, counts = cell_sums(sample_losses(z, y), cells_of(torch.tensor([-1, -1]), y, 2), 4)
    value = robust_loss(torch.ones(4) / 4, sums, counts)
    assert float(value.detach()) == 0 and value.requires_grad
    assert torch.equal(next_weights(torch.ones(4) / 4, sums, counts, eta=1.0), torch.ones(4) / 4)


def test_an_order_of_samples_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    z, y, a = torch.randn(30, generator=generator), torch.arange(30) % 2, torch.arange(30) % 3 - 1
    order = torch.randperm(30, generator=generator)
    one = cell_sums(sample_losses(z, y), cells_of(a, y, 2), 4)
    other = cell_sums(sample_losses(z[order], y[order]), cells_of(a[order], y[order], 2), 4)
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sample_losses(torch.zeros(2, 3), torch.tensor([0, 3])), "0 to 2"),
        (lambda: sample_losses(torch.zeros(2), torch.tensor([0, 1, 1])), r"\(N,\)"),
        (lambda: cell_sums(torch.zeros(2), torch.tensor([0, 4]), 4), "-1 .missing. to 3"),
        (lambda: cell_sums(torch.zeros(2), torch.tensor([0]), 4), r"\(N,\)"),
        (lambda: first_weights(torch.zeros(4)), "no cell"),
        (lambda: next_weights(torch.ones(2), torch.ones(3), torch.ones(3), 1.0), r"\(K,\)"),
        (lambda: next_weights(torch.ones(2), torch.ones(2), torch.ones(2), -1.0), "eta=-1"),
        (lambda: next_weights(torch.ones(2), torch.ones(2), torch.ones(2), 1.0, adjustment=1.0), "rows of each cell"),
    ],
)
def test_what_can_not_be_is_named(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        call()
