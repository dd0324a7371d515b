"""The task loss of any number of classes: cross-entropy in which all classes weigh the same.

Letters: N samples, C classes, n_c rows of class c.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from biasmask.methods.losses import ClassBalance, class_balanced_bce


def class_balanced_ce(
    logits: Tensor, target: Tensor, class_balance: ClassBalance = "dataset", class_counts: Sequence[int] | None = None
) -> Tensor:
    """Cross-entropy of a softmax in which all classes weigh the same in total.

    Mean over the batch of w[y] * CE(softmax(z), y), where w[c] is proportional to 1 / n_c. For C = 2 this is
    `class_balanced_bce` of z = z1 - z0: the weights add up to 1, so that their mean over the rows is 2 pi (1 - pi), pi being the
    share of positives. With more classes, some of them rare, weights that add up to 1 would have a mean of some hundredths (0.03
    for the seven diagnoses of HAM10000), and every learning rate and factor of another loss would mean something else. So their
    mean over the rows is 1/2 there, as it is for two classes of equal size. A class with n_c = 0 has weight 0.

    Args:
        logits: float (N, C), C >= 2, any real number.
        target: int64 (N,), 0..C-1.
        class_balance: where n_c comes from: `dataset` (class_counts), `batch` (a batch of one class has loss 0, since there is
            nothing to balance), `none` (w = 1).
        class_counts: n_c of the training split, C numbers >= 0, two of them above 0; only for `dataset`.
    Returns:
        A scalar, in float32 at least.
    Raises:
        ValueError: shapes that don't fit, an empty batch, a target out of range, counts that are missing or too few.
    Source:
        Ours, after the binary loss of BMFT (arXiv 2408.06890).

    >>> z, y = torch.zeros(3, 3), torch.tensor([0, 1, 2])
    >>> round(float(class_balanced_ce(z, y, class_counts=[1, 2, 2])), 4), round(float(class_balanced_ce(z, y, "none")), 4)
    (0.6103, 1.0986)
    """
    if logits.ndim != 2 or logits.shape[1] < 2 or target.shape != logits.shape[:1]:
        raise ValueError(f"logits {tuple(logits.shape)} and targets {tuple(target.shape)} must be (N, C) and (N,), C >= 2")
    n_classes = logits.shape[1]
    if target.numel() == 0:
        raise ValueError("the task loss got an empty batch: give it at least one sample")
    if int(target.min()) < 0 or int(target.max()) >= n_classes:
        raise ValueError(f"targets run from {int(target.min())} to {int(target.max())}, expected 0 to {n_classes - 1}")
    z = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    target = target.to(z.device)
    each = F.cross_entropy(z, target.long(), reduction="none")
    if class_balance == "none":
        return each.mean()
    if class_balance == "batch":
        counts = torch.bincount(target.long(), minlength=n_classes)
        if int((counts > 0).sum()) == 1:
            return (each * 0).mean()
    elif class_balance == "dataset":
        if class_counts is None or len(class_counts) != n_classes or sum(n > 0 for n in class_counts) < 2:
            raise ValueError(
                f"class_balance=dataset needs the rows of each of {n_classes} classes in the training split, two of them above "
                f"0, got {class_counts}: count them, or use class_balance=none"
            )
        counts = torch.as_tensor(class_counts)
    else:
        raise ValueError(f"class_balance is {class_balance!r}: use dataset, batch or none")
    weights = torch.where(counts > 0, 1 / counts.clamp(min=1).double(), 0.0).to(z.device)
    present = int((counts > 0).sum())
    scale = 1 / weights.sum() if n_classes == 2 else int(counts.sum()) / (2 * present)  # sum of n_c / n_c is `present`
    return (each * (scale * weights).to(z.dtype)[target.long()]).mean()


def task_loss(
    logits: Tensor, target: Tensor, class_balance: ClassBalance = "dataset", class_counts: Sequence[int] | None = None
) -> Tensor:
    """The class-balanced task loss: of one logit by `class_balanced_bce`, of a logit a class by `class_balanced_ce`.

    Args:
        logits: float (N,), or (N, C).
        target: int (N,), 0 or 1, or 0..C-1.
        class_balance: `dataset`, `batch` or `none`.
        class_counts: rows of each class in the training split, in the order of the classes: (negatives, positives) for (N,).
    Returns:
        A scalar.
    Raises:
        ValueError: as those two.

    >>> z, y = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1, 0, 0])
    >>> both = task_loss(z, y, "dataset", (2, 1)), task_loss(torch.stack([z * 0, z], 1), y, "dataset", (2, 1))
    >>> bool(torch.isclose(*both))
    True
    """
    if logits.ndim == 1:
        negative, positive = class_counts if class_counts is not None and len(class_counts) == 2 else (None, None)
        return class_balanced_bce(logits, target, class_balance, n_positive=positive, n_negative=negative)
    return class_balanced_ce(logits, target, class_balance, class_counts)
