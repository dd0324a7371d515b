"""Iterative null-space projection (INLP): what a linear classifier reads of the groups is projected away; and its random control.

Letters: N sentences, D dimensions, K groups of the attribute, r directions that were removed.
"""

import torch
from torch import Tensor

SMALL = 1e-6  # of the largest singular value: below it a direction is rounding
TOLERANCE = 1e-9  # change of the loss at which the classifier has converged


def inlp_projection(
    embeddings: Tensor,
    group: Tensor,
    n_iterations: int,
    penalty: float,
    held_share: float,
    margin: float,
    max_steps: int,
    seed: int = 0,
) -> tuple[Tensor, list[float]]:
    """The orthogonal projection after which no linear classifier found the groups any more.

    In words: a linear classifier of the groups is trained, the directions of its weights are projected away, and again, until its
    balanced accuracy on rows held back is at chance or `n_iterations` have been. P = I - Q Q^T, Q an orthonormal base of all
    directions that were removed.

    Args:
        embeddings: float (N, D).
        group: int (N,), 0..K-1, two groups or more.
        n_iterations: classifiers at most, 0 or more; each removes K - 1 directions.
        penalty: see `logistic_directions`.
        held_share: share of each group's rows that no classifier is trained on, in (0, 1).
        margin: balanced accuracy above 1/K that still counts as chance.
        max_steps: see `logistic_directions`.
        seed: of the rows held back.
    Returns:
        P (D, D), symmetric, in the dtype of `embeddings`: the identity where the first classifier is at chance. Then the balanced
        accuracy of each classifier on the rows held back; the directions of all are removed but those of a last one at chance.
    Raises:
        ValueError: fewer than two groups, a group with fewer than two rows, or embeddings that aren't finite.
    Source:
        Ravfogel et al. 2020 (arXiv 2004.07667), algorithm 1. There a classifier below the accuracy of the largest class ends it;
        here groups weigh the same, so that chance is 1/K however uneven they are.

    >>> x = torch.tensor([[4.0, 1.0], [4.0, -1.0], [-4.0, 1.0], [-4.0, -1.0]]).repeat(4, 1)
    >>> inlp_projection(x, torch.tensor([0, 0, 1, 1]).repeat(4), 5, 0.01, 0.5, 0.01, 100)[0].abs().round().tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    x = embeddings.detach().cpu().double()
    train, held = _halves(x, group, held_share, seed)
    directions = x.new_zeros(x.shape[1], 0)
    accuracies: list[float] = []
    n_groups = int(group.max()) + 1
    for _ in range(n_iterations):
        left = x - (x @ directions) @ directions.T
        weight, bias = logistic_directions(left[train], group[train], penalty, max_steps)
        predicted = (left[held] @ weight.T + bias).argmax(1)
        accuracies.append(_balanced_accuracy(predicted, group[held], n_groups))
        if accuracies[-1] <= 1 / n_groups + margin:
            break
        directions = _joined(directions, weight)
    return removing(directions).to(embeddings.dtype), accuracies


def logistic_directions(x: Tensor, group: Tensor, penalty: float, max_steps: int) -> tuple[Tensor, Tensor]:
    """Weights and bias of a multinomial logistic regression in which every group weighs the same.

    In words: mean over groups of the mean cross entropy of their rows, plus `penalty` / 2 times the squared norm of the weights.
    The rows are scaled to a mean square of 1 about their mean; the scale is one number, so that directions keep their meaning.

    Args:
        x: float64 (N, D).
        group: int (N,), 0..K-1, each at least once.
        penalty: 0 or more.
        max_steps: steps of L-BFGS at most.
    Returns:
        (K, D) and (K,): a row goes to the group with the largest `weight @ row + bias`.

    >>> weight, bias = logistic_directions(torch.tensor([[1.0], [3.0]]).double(), torch.tensor([0, 1]), 0.1, 50)
    >>> [int((weight[:, 0] * row + bias).argmax()) for row in (0.0, 4.0)]
    [0, 1]
    """
    n_groups = int(group.max()) + 1
    mean = x.mean(0)
    scale = (x - mean).square().mean().sqrt().clamp(min=torch.finfo(x.dtype).tiny)
    rows = (x - mean) / scale
    balance = 1 / (n_groups * torch.bincount(group, minlength=n_groups).to(x.dtype))
    weight = x.new_zeros(n_groups, x.shape[1], requires_grad=True)
    bias = x.new_zeros(n_groups, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=max_steps, tolerance_change=TOLERANCE, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = torch.nn.functional.cross_entropy(rows @ weight.T + bias, group, balance, reduction="sum")
        value = entropy + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    found = weight.detach() / scale
    return found, bias.detach() - found @ mean


def removing(directions: Tensor) -> Tensor:
    """The projection I - Q Q^T that takes directions away and leaves what is orthogonal to them.

    Args:
        directions: float (D, r), orthonormal columns; none is the identity.
    Returns:
        (D, D), symmetric, idempotent, of rank D - r.

    >>> removing(torch.tensor([[0.0], [1.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    eye = torch.eye(len(directions), dtype=directions.dtype, device=directions.device)
    return eye - directions @ directions.T


def removed_rank(projection: Tensor) -> int:
    """How many directions an orthogonal projection removes: D minus its trace.

    >>> removed_rank(torch.diag(torch.tensor([1.0, 0.0, 1.0])))
    1
    """
    return round(len(projection) - float(projection.double().trace()))


def random_projection(size: int, rank: int, seed: int) -> Tensor:
    """Control: the projection that removes as many directions, drawn evenly of all.

    Args:
        size: D.
        rank: r, 0..D.
        seed: of the draw.
    Returns:
        (D, D) float32.
    Raises:
        ValueError: a rank outside 0..D.

    >>> removed_rank(random_projection(8, 3, seed=0))
    3
    """
    if not 0 <= rank <= size:
        raise ValueError(f"rank={rank}: give 0 to {size}, the dimensions there are")
    drawn = torch.randn(size, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return removing(torch.linalg.qr(drawn).Q).float()


def _halves(x: Tensor, group: Tensor, held_share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows held back; each group has one at least in both."""
    counts = torch.bincount(group)
    if len(counts) < 2 or int(counts.min()) < 2:
        raise ValueError(f"rows of each group: {counts.tolist()}; give two groups or more with two rows or more each")
    if not x.isfinite().all():
        raise ValueError("embeddings hold NaN or infinity: nothing can be read off them")
    generator = torch.Generator().manual_seed(seed)
    train, held = [], []
    for number, count in enumerate(counts.tolist()):
        rows = torch.nonzero(group == number).flatten()[torch.randperm(count, generator=generator)]
        cut = min(max(round(count * held_share), 1), count - 1)
        held.append(rows[:cut])
        train.append(rows[cut:])
    return torch.cat(train), torch.cat(held)


def _balanced_accuracy(predicted: Tensor, group: Tensor, n_groups: int) -> float:
    hit = (predicted == group).double()
    return float(torch.stack([hit[group == number].mean() for number in range(n_groups)]).mean())


def _joined(directions: Tensor, weight: Tensor) -> Tensor:
    """The base with the directions of a classifier added; of K rows that sum to 0, K - 1 are directions."""
    _, values, rows = torch.linalg.svd(weight, full_matrices=False)
    new = rows[values > SMALL * values.max()].T
    new = new - directions @ (directions.T @ new)  # rounding along what is gone already
    return torch.cat([directions, torch.linalg.qr(new).Q], 1)
