"""Gaps between groups: the largest rate minus the smallest. One group alone has no gap: NaN.

Each function takes counts (D, G, 2, 2), as `group_counts` gives them, or AUROCs (D, G), and returns (D,) float64 in
[0, 1]. A group whose rate is undefined is left out. For draws of a bootstrap give `required`, the groups that are
defined in the table itself: a draw that loses one of them is NaN, because a gap over fewer groups is another quantity.
"""

import torch
from torch import Tensor

from biasmask.metrics import rates


def _ends(values: Tensor, required: Tensor | None) -> tuple[Tensor, Tensor]:
    """Smallest and largest value over the groups, each (D,); NaN with fewer than two groups."""
    if required is not None:
        values = values[:, required]
    defined = ~values.isnan()
    enough = defined.sum(1) >= 2
    if required is not None:
        enough &= defined.all(1)
    if values.shape[1] == 0:
        nothing = torch.full((values.shape[0],), torch.nan, dtype=values.dtype)
        return nothing, nothing
    low = torch.where(enough, values.nan_to_num(torch.inf, torch.inf).amin(1), torch.nan)
    high = torch.where(enough, values.nan_to_num(-torch.inf, torch.inf).amax(1), torch.nan)
    return low, high


def gap(values: Tensor, required: Tensor | None = None) -> Tensor:
    """Largest minus smallest value over the groups that are defined.

    Args:
        values: (D, G) float64; NaN = undefined.
        required: (G,) bool, the groups to take, all of which must be defined; None = those defined in each draw.

    Returns:
        (D,) float64 >= 0; NaN with fewer than two groups.

    Source: Weerts et al. 2023 (fairlearn), `between_groups`, which counts an undefined group as 0; here it's left out.

    >>> gap(torch.tensor([[0.5, 0.75, torch.nan], [0.5, torch.nan, torch.nan]])).tolist()
    [0.25, nan]
    """
    low, high = _ends(values, required)
    return high - low


def demographic_parity(counts: Tensor, required: Tensor | None = None) -> Tensor:
    """Gap of the selection rate.

    >>> demographic_parity(torch.tensor([[[[1.0, 1], [0, 2]], [[3, 0], [1, 0]]]])).item()
    0.75
    """
    return gap(rates.selection_rate(counts), required)


def equal_opportunity(counts: Tensor, required: Tensor | None = None) -> Tensor:
    """Gap of the true positive rate (Hardt et al. 2016).

    >>> equal_opportunity(torch.tensor([[[[1.0, 1], [0, 2]], [[3, 0], [1, 1]]]])).item()
    0.5
    """
    return gap(rates.tpr(counts), required)


def fpr_gap(counts: Tensor, required: Tensor | None = None) -> Tensor:
    """Gap of the false positive rate.

    >>> fpr_gap(torch.tensor([[[[1.0, 1], [0, 2]], [[3, 0], [1, 1]]]])).item()
    0.5
    """
    return gap(rates.fpr(counts), required)


def equalized_odds_mean(
    counts: Tensor, required_positive: Tensor | None = None, required_negative: Tensor | None = None
) -> Tensor:
    """Mean of the TPR gap and the FPR gap; NaN if either is undefined.

    >>> equalized_odds_mean(torch.tensor([[[[2.0, 0], [0, 2]], [[3, 0], [1, 1]]]])).item()
    0.25
    """
    return (equal_opportunity(counts, required_positive) + fpr_gap(counts, required_negative)) / 2


def equalized_odds_max(
    counts: Tensor, required_positive: Tensor | None = None, required_negative: Tensor | None = None
) -> Tensor:
    """Larger of the TPR gap and the FPR gap; NaN if either is undefined.

    >>> equalized_odds_max(torch.tensor([[[[2.0, 0], [0, 2]], [[3, 0], [1, 1]]]])).item()
    0.5
    """
    return torch.maximum(equal_opportunity(counts, required_positive), fpr_gap(counts, required_negative))


def auroc_gap(auroc: Tensor, required: Tensor | None = None) -> Tensor:
    """Gap of the AUROC within the groups; `auroc` is (D, G).

    >>> auroc_gap(torch.tensor([[0.75, 1.0, torch.nan]])).item()
    0.25
    """
    return gap(auroc, required)


def auroc_worst_group(auroc: Tensor, required: Tensor | None = None) -> Tensor:
    """Smallest AUROC within a group; NaN with fewer than two groups (then there is no worst one).

    >>> auroc_worst_group(torch.tensor([[0.75, 1.0, torch.nan]])).item()
    0.75
    """
    return _ends(auroc, required)[0]
