"""Is a profession nearer to the gender that mostly holds it? For encoders without a masked-LM head.

Each item is one sentence about a man and about a woman; its two numbers are the cosines between the contextual embeddings
of the person word and of the profession word. Sentences come from WinoBias and BEC-Pro, which were made for coreference
and for masked language models: the measure is ours, and can't be compared with their figures. Limits: a cosine also
depends on how near and how frequent the words are; the person words of both genders share a sentence, so that this
cancels within an item, and a lean of all professions to one gender cancels between the genders of professions. Words of
several tokens are averages.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from biasmask.metrics.bootstrap import bootstrap_weights
from biasmask.metrics.measurement import Measurement, undefined, with_interval
from biasmask.metrics.row_weights import check_rows, weighted_sums

GAP = "gap"
STEREOTYPED = ("male", "female")


def profession_association(
    male_cosine: Tensor,
    female_cosine: Tensor,
    professions: Sequence[str],
    profession_genders: Sequence[str],
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Measurement]:
    """How much nearer professions are to the gender that mostly holds them, and the lean of each kind of profession.

    Formula: lean = cosine in the man's sentence - cosine in the woman's, averaged over the items of each profession, then
    over the professions of a gender. gap = (lean of male professions - lean of female professions) / 2, which is pro minus
    anti averaged over both genders. The bootstrap draws professions within their gender, for items of one profession
    are alike.

    Args:
        male_cosine: (N,) float in [-1, 1]; an item with a NaN in either is left out, with a warning.
        female_cosine: (N,) float, of the same sentences about a woman. For a paired comparison of two models give the
            differences debiased minus base in both.
        professions: (N,) profession of each item.
        profession_genders: (N,) male, female or another word, such as balanced.
        n_draws, confidence, seed: of the intervals.

    Returns:
        `gap` (0 = no stereotype, positive = stereotyped) and each profession gender in order of appearance (its lean:
        positive = nearer to men) -> Measurement with n = professions; NaN with a reason for a gap without professions
        of both genders.

    Raises:
        ValueError: lengths that differ, a profession under two genders.

    Source: sentences of Zhao et al. 2018 and Bartl et al. 2020; the contrast as in Caliskan et al. 2017.

    >>> he, she = torch.tensor([0.75, 0.25]), torch.tensor([0.5, 0.5])
    >>> found = profession_association(he, she, ["carpenter", "nurse"], ["male", "female"], n_draws=9)
    >>> found["gap"].value, found["male"].value
    (0.25, 0.25)
    """
    n = len(professions)
    check_rows(n, male_cosine=male_cosine, female_cosine=female_cosine)
    if len(profession_genders) != n:
        raise ValueError(f"{n} professions and {len(profession_genders)} genders of professions: expected one of each an item")
    gender_of: dict[str, str] = {}
    for profession, gender in zip(professions, profession_genders, strict=True):
        if gender_of.setdefault(profession, gender) != gender:
            raise ValueError(f"profession '{profession}' is under two genders: {gender_of[profession]} and {gender}")
    lean = (male_cosine.to(torch.float64) - female_cosine.to(torch.float64)).cpu()
    values: dict[str, Tensor] = {}
    draws: dict[str, Tensor] = {}
    found: dict[str, Measurement] = {}
    lost = int(lean.isnan().sum())
    reason = f"{lost} of {n} items undefined and left out" if lost else None
    for number, gender in enumerate(dict.fromkeys(profession_genders)):
        means = _by_profession(lean, professions, [name for name in gender_of if gender_of[name] == gender])
        if not len(means):
            found[gender] = undefined(0, "none of its items has a cosine")
            continue
        strata = torch.zeros(len(means), dtype=torch.long)
        values[gender] = means.mean()
        # A seed for each gender, or kinds of equally many professions would be drawn alike.
        draws[gender] = weighted_sums(means.unsqueeze(1), bootstrap_weights(strata, n_draws, seed + number))[:, 0] / len(means)
        found[gender] = with_interval(values[gender].item(), draws[gender], len(means), confidence, reason)
    missing = [gender for gender in STEREOTYPED if gender not in values]
    if missing:
        gap = undefined(0, f"no profession with a cosine that is mostly {' or '.join(missing)}")
    else:
        value, drawn = ((part["male"] - part["female"]) / 2 for part in (values, draws))
        gap = with_interval(value.item(), drawn, found["male"].n + found["female"].n, confidence, reason)
    return {GAP: gap, **found}


def _by_profession(lean: Tensor, professions: Sequence[str], names: Sequence[str]) -> Tensor:
    """Mean lean of each of the named professions that has a defined item."""
    number = {name: i for i, name in enumerate(names)}
    rows = [i for i, name in enumerate(professions) if name in number]
    place = torch.tensor([number[professions[i]] for i in rows], dtype=torch.long)
    defined = ~lean[rows].isnan()
    sums = torch.zeros(len(names), dtype=torch.float64).index_add_(0, place[defined], lean[rows][defined])
    counts = torch.bincount(place[defined], minlength=len(names))
    return sums[counts > 0] / counts[counts > 0]
