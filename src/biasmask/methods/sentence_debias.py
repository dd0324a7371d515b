"""SentenceDebias: the directions in which sentences differ that differ in their attribute words alone are projected away."""

import torch
from torch import Tensor

from biasmask.methods.null_space import removing

SMALL = 1e-12  # share of the variance below which a component is rounding


def sentence_debias_projection(variants: Tensor, n_components: int) -> tuple[Tensor, list[float]]:
    """The orthogonal projection without the main directions of difference between the variants of sentences.

    In words: of each sentence's K variants their mean is subtracted; the first principal components of all that is left are the
    bias subspace V, and P = I - V V^T.

    Args:
        variants: float (K, N, D): the embedding of N sentences, each written once for every group.
        n_components: directions to remove, 1 or more.
    Returns:
        P (D, D), symmetric and idempotent, in the dtype of `variants`; then the share of the variants' variance that each removed
        direction holds, descending.
    Raises:
        ValueError: fewer than two groups, no sentence, embeddings that aren't finite, or variants that span fewer directions.
    Source:
        Liang et al. 2020 (arXiv 2007.08100), section 2. There the sentences are templates filled in; here they are the caller's.

    >>> men, women = torch.tensor([[1.0, 5.0, 0.0], [1.0, 7.0, 2.0]]), torch.tensor([[-1.0, 5.0, 0.0], [-1.0, 7.0, 2.0]])
    >>> projection, share = sentence_debias_projection(torch.stack([men, women]), 1)
    >>> projection.diagonal().tolist(), share
    ([0.0, 1.0, 1.0], [1.0])
    """
    if variants.ndim != 3 or len(variants) < 2 or not variants.shape[1]:
        raise ValueError(f"variants of shape {tuple(variants.shape)}: give (groups >= 2, sentences >= 1, dimensions)")
    if not variants.isfinite().all():
        raise ValueError("embeddings hold NaN or infinity: nothing can be read off them")
    x = variants.detach().cpu().double()
    centred = (x - x.mean(0)).flatten(0, 1)
    values, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending
    share = values.clamp(min=0).flip(0) / values.sum().clamp(min=torch.finfo(x.dtype).tiny)
    spanned = int((share > SMALL).sum())
    if not 1 <= n_components <= spanned:
        raise ValueError(f"n_components={n_components}: the variants differ in {spanned} directions; give 1 to {spanned}")
    removed = vectors.flip(1)[:, :n_components]
    return removing(removed).to(variants.dtype), share[:n_components].tolist()
