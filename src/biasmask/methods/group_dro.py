"""Group DRO: the loss of the worst cell of group and target, by weights that follow the cells' losses.

Letters: N samples, C classes, G groups, K = G * C cells, n_k rows of cell k in the training split; L_k the mean loss of cell k in
a batch, q_k its weight.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each sample, unweighted: a factor for each class would change which cell is the worst.

    Args:
        logits: float (N,) of the positive class, or (N, C).
        target: int (N,), 0 or 1, or 0..C-1.
    Returns:
        (N,), in float32 at least.
    Raises:
        ValueError: shapes that don't fit, or a target out of range.

    >>> z, y = torch.tensor([0.0, 2.0]), torch.tensor([1, 1])
    >>> bool(torch.isclose(sample_losses(z, y), sample_losses(torch.stack([z * 0, z], 1), y)).all())
    True
    """
    n_classes = 2 if logits.ndim == 1 else logits.shape[-1]
    if logits.ndim not in (1, 2) or n_classes < 2 or target.shape != logits.shape[:1]:
        raise ValueError(f"logits {tuple(logits.shape)} and targets {tuple(target.shape)} must be (N,) or (N, C), and (N,)")
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < n_classes:
        raise ValueError(f"targets run from {int(target.min())} to {int(target.max())}, expected 0 to {n_classes - 1}")
    z = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    if z.ndim == 1:
        return F.binary_cross_entropy_with_logits(z, target.to(z.device, z.dtype), reduction="none")
    return F.cross_entropy(z, target.to(z.device).long(), reduction="none")


def cells_of(group: Tensor, target: Tensor, n_classes: int) -> Tensor:
    """The cell of each sample: group * C + target, and -1 where the group is missing.

    Args:
        group: int64 (N,), in -1..G-1.
        target: int (N,), 0..C-1.
        n_classes: C.
    Returns:
        int64 (N,), in -1..K-1.

    >>> cells_of(torch.tensor([0, 1, -1]), torch.tensor([1, 0, 1]), 2).tolist()
    [1, 2, -1]
    """
    return torch.where(group < 0, -1, group * n_classes + target.long())


def cell_sums(losses: Tensor, cell: Tensor, n_cells: int) -> tuple[Tensor, Tensor]:
    """Sum of the losses and number of samples of each cell; samples of cell -1 are left out.

    Args:
        losses: float (N,).
        cell: int64 (N,), in -1..K-1.
        n_cells: K.
    Returns:
        Two tensors (K,), both 0 where a cell has no sample; the first is differentiable.
    Raises:
        ValueError: shapes differ or a cell is out of range.

    >>> [v.tolist() for v in cell_sums(torch.tensor([1.0, 2.0, 4.0, 9.0]), torch.tensor([0, 0, 2, -1]), 3)]
    [[3.0, 0.0, 4.0], [2.0, 0.0, 1.0]]
    """
    if losses.shape != cell.shape or losses.ndim != 1:
        raise ValueError(f"losses {tuple(losses.shape)} and cells {tuple(cell.shape)} must both be (N,)")
    if cell.numel() and (int(cell.min()) < -1 or int(cell.max()) >= n_cells):
        raise ValueError(f"cells run from {int(cell.min())} to {int(cell.max())}, expected -1 (missing) to {n_cells - 1}")
    member = cell[None].to(losses.device) == torch.arange(n_cells, device=losses.device)[:, None]  # (K, N)
    return torch.where(member, losses, 0).sum(1), member.sum(1).to(losses.dtype)  # where: a left-out NaN stays out


def first_weights(sizes: Tensor) -> Tensor:
    """Equal weights of all cells that have rows, 0 of the others, which no batch could ever teach anything about.

    Args:
        sizes: n_k, int or float (K,), >= 0.
    Returns:
        float32 (K,), sum 1.
    Raises:
        ValueError: no cell has a row.

    >>> first_weights(torch.tensor([5, 0, 1, 0])).tolist()
    [0.5, 0.0, 0.5, 0.0]
    """
    filled = sizes > 0
    if not bool(filled.any()):
        raise ValueError("no cell of group and target has a row: choose another attribute or check its missing values")
    return filled.float() / filled.sum()


def next_weights(
    weights: Tensor, sums: Tensor, counts: Tensor, eta: float, sizes: Tensor | None = None, adjustment: float = 0.0
) -> Tensor:
    """One step of the exponentiated gradient: cells with a high loss gain weight.

    q_k <- q_k * exp(eta * (L_k + adjustment / sqrt(n_k))), divided by the sum over all cells. A cell without a sample in the
    batch isn't multiplied by anything.

    Args:
        weights: q, float (K,), >= 0, sum 1.
        sums, counts: of `cell_sums`, over the batches of all processes.
        eta: step size, >= 0; 0 keeps the weights.
        sizes: n_k, (K,), for the adjustment.
        adjustment: >= 0; small cells, whose loss on new rows exceeds that on training rows most, count as worse than they look.
    Returns:
        (K,), without gradient.
    Raises:
        ValueError: shapes differ, eta or adjustment below 0, or an adjustment without sizes.
    Source:
        Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1 and section 3.3. In their code a cell that a batch lacks has loss 0.

    >>> sums, counts = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([2.0, 1.0, 0.0])
    >>> [round(v, 3) for v in next_weights(torch.ones(3) / 3, sums, counts, eta=1.0).tolist()]
    [0.576, 0.212, 0.212]
    """
    if not weights.shape == sums.shape == counts.shape or weights.ndim != 1:
        raise ValueError(f"weights, sums and counts have shapes {weights.shape}, {sums.shape}, {counts.shape}: give (K,) of each")
    if not eta >= 0 or not adjustment >= 0:
        raise ValueError(f"eta={eta} and adjustment={adjustment}: both must be 0 or more")
    if adjustment and (sizes is None or sizes.shape != weights.shape):
        raise ValueError("an adjustment for the size of the cells needs the rows of each cell, (K,)")
    present = counts > 0
    loss = sums.detach() / counts.clamp(min=1)
    if adjustment and sizes is not None:
        loss = loss + adjustment / sizes.to(loss).clamp(min=1).sqrt()
    exponent = torch.where(present, eta * loss, 0)
    return torch.softmax(weights.log() + exponent, 0).to(weights.dtype)  # log(0) is -inf: a weight of 0 stays 0


def robust_loss(weights: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
    """Sum over the cells of q_k * L_k; a cell without a sample in the batch adds nothing.

    Args:
        weights: q, float (K,).
        sums, counts: of `cell_sums`.
    Returns:
        A scalar; a zero that is connected to the graph where no cell has a sample.

    >>> float(robust_loss(torch.tensor([0.75, 0.25]), torch.tensor([2.0, 3.0]), torch.tensor([2.0, 1.0])))
    1.5
    """
    return (weights.detach() * sums / counts.clamp(min=1)).sum()
