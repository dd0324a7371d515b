"""Benchmarks of masked language models: which of two sentences is the likelier, and what that says of stereotypes.

The functions take log-probabilities; models/masked_lm.py makes them. An ideal model prefers the stereotyped sentence in
one half of the pairs, which a model that guesses does too: read it beside the pseudo-perplexity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from torch import Tensor

from biasmask.metrics.bootstrap import bootstrap_weights
from biasmask.metrics.measurement import Measurement, mean_measurement, undefined, with_interval
from biasmask.metrics.row_weights import check_rows, weighted_sums

ALL = "all"


@dataclass(frozen=True)
class Preference:
    """Share of pairs that prefer the stereotyped sentence, with the counts behind it; pairs without a score are in none."""

    share: Measurement
    stereotyped: int
    other: int
    ties: int


def shared_positions(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """Positions of the tokens that two sentences share, in order.

    Formula: the matching blocks of the two token sequences.

    Args:
        first, second: token ids, without special tokens.

    Returns:
        Positions in `first` and in `second`, equally many; empty when they share nothing.

    Source: Nangia et al. 2020, section 3 (unmodified tokens).

    >>> shared_positions([5, 6, 7, 8], [5, 9, 9, 8])
    ([0, 3], [0, 3])
    """
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    pairs = [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    return [i for i, _ in pairs], [j for _, j in pairs]


def wilson_interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share by Wilson's score; (NaN, NaN) for n = 0.

    Formula: (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with z the normal quantile.

    Args:
        share: p in [0, 1].
        n: number of trials.
        confidence: in (0, 1).

    Raises:
        ValueError: a confidence outside (0, 1).

    Source: Wilson 1927.

    >>> [round(end, 4) for end in wilson_interval(0.5, 10)]
    [0.2366, 0.7634]
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1 such as 0.95")
    if not n:
        return math.nan, math.nan
    z = torch.special.ndtri(torch.tensor((1 + confidence) / 2, dtype=torch.float64)).item()
    centre, scale = share + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def stereotype_preference(
    stereotyped: Tensor, other: Tensor, bias_types: Sequence[str], confidence: float = 0.95
) -> dict[str, Preference]:
    """CrowS-Pairs: how often the more stereotyping sentence of a pair is the likelier, overall and by bias type.

    Formula: (pairs with stereotyped > other + half of the ties) / pairs, with Wilson's interval.

    Args:
        stereotyped: (N,) float, pseudo-log-likelihood of the shared tokens in the more stereotyping sentence.
        other: (N,) float, in the less stereotyping one. NaN in either = the pair has no score and is left out.
        bias_types: (N,) the kind of bias of each pair.
        confidence: of the interval.

    Returns:
        `all` and each bias type in order of appearance -> Preference; NaN with a reason where no pair has a score.

    Raises:
        ValueError: lengths that differ, a confidence outside (0, 1).

    Source: Nangia et al. 2020, whose code counts a tie as not preferred; here a model that can't tell has one half.

    >>> stereotype_preference(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -2.0]), ["age", "age"])["age"].share.value
    0.75
    """
    check_rows(len(bias_types), stereotyped=stereotyped, other=other)
    difference = (stereotyped.to(torch.float64) - other.to(torch.float64)).cpu()
    kinds = list(dict.fromkeys(bias_types))
    found = {ALL: _preference(difference, confidence)}
    for kind in kinds:
        found[kind] = _preference(difference[torch.tensor([each == kind for each in bias_types])], confidence)
    return found


def preference_difference(
    base: tuple[Tensor, Tensor],
    debiased: tuple[Tensor, Tensor],
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Measurement:
    """Share of preferred stereotypes, debiased minus base, with a paired bootstrap interval over pairs.

    Args:
        base, debiased: (stereotyped, other) pseudo-log-likelihoods of the same pairs; a pair without a score in either
            is left out, with a warning. Of one bias type: select its pairs first.
        n_draws, confidence, seed: of the interval.

    Returns:
        Measurement; NaN with a reason where no pair has both scores.

    Raises:
        ValueError: lengths that differ.

    >>> scores = torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -2.0])
    >>> preference_difference(scores, scores, n_draws=9).value
    0.0
    """
    n = len(base[0])
    check_rows(n, base=base[1], stereotyped=debiased[0], other=debiased[1])
    changes = [(first.to(torch.float64) - second.to(torch.float64)).cpu() for first, second in (base, debiased)]
    # The sign of NaN is 0 in torch, which would make a tie of a pair without a score.
    before, after = (torch.where(change.isnan(), torch.nan, change.sign() / 2) for change in changes)
    return mean_measurement(after - before, n_draws, confidence, seed)


def pseudo_perplexity(
    log_likelihood: Tensor, n_tokens: Tensor, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """How surprised a masked language model is by texts, each token predicted from all others of its text.

    Formula: exp of minus (sum of pseudo-log-likelihoods / number of tokens), with a bootstrap interval over texts.

    Args:
        log_likelihood: (N,) float, sum over the tokens of a text; a text with NaN is left out, with a warning.
        n_tokens: (N,) integer, tokens that were predicted; a text without any is left out.
        n_draws, confidence, seed: of the interval.

    Returns:
        Measurement >= 1 with n = texts; NaN with a reason where there is none.

    Raises:
        ValueError: lengths that differ, a confidence outside (0, 1).

    Source: Salazar et al. 2020, equation 4. Not to be compared between tokenizers.

    >>> round(pseudo_perplexity(torch.tensor([-2.0, -4.0]), torch.tensor([2, 4]), n_draws=10).value, 4)
    2.7183
    """
    return _perplexity([log_likelihood], n_tokens, n_draws, confidence, seed)


def pseudo_perplexity_difference(
    base: Tensor, debiased: Tensor, n_tokens: Tensor, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """Pseudo-perplexity of the debiased model minus that of the base on the same texts, with a paired interval.

    Args:
        base, debiased: (N,) float, pseudo-log-likelihoods of the same texts; a text with NaN in either is left out.
        n_tokens, n_draws, confidence, seed: as for `pseudo_perplexity`.

    Returns:
        Measurement; positive = the debiased model is more surprised.

    Raises:
        ValueError: lengths that differ, a confidence outside (0, 1).

    >>> pseudo_perplexity_difference(torch.tensor([-2.0]), torch.tensor([-2.0]), torch.tensor([2]), n_draws=9).value
    0.0
    """
    return _perplexity([base, debiased], n_tokens, n_draws, confidence, seed)


def _perplexity(models: list[Tensor], n_tokens: Tensor, n_draws: int, confidence: float, seed: int) -> Measurement:
    """Of one model, or of the last minus the first."""
    for log_likelihood in models:
        check_rows(len(n_tokens), log_likelihood=log_likelihood)
    table = torch.stack([*models, n_tokens], 1).to(torch.float64).cpu()
    defined = ~table.isnan().any(1) & (table[:, -1] > 0)
    n, lost = int(defined.sum()), int((~defined).sum())
    if not n:
        return undefined(0, f"none of the {lost} texts has a token to predict" if lost else "no texts")
    table = table[defined]
    drawn = weighted_sums(table, bootstrap_weights(torch.zeros(n, dtype=torch.long), n_draws, seed))
    value, draws = ((-sums[:, :-1] / sums[:, -1:]).exp() for sums in (table.sum(0, keepdim=True), drawn))
    if len(models) > 1:
        value, draws = value[:, -1:] - value[:, :1], draws[:, -1:] - draws[:, :1]
    reason = f"{lost} of {n + lost} texts left out" if lost else None
    return with_interval(value.item(), draws, n, confidence, reason)


def _preference(difference: Tensor, confidence: float) -> Preference:
    lost = int(difference.isnan().sum())
    n = len(difference) - lost
    more, less, ties = (int(kind.sum()) for kind in (difference > 0, difference < 0, difference == 0))
    if not n:
        return Preference(undefined(0, f"none of the {lost} pairs has a score" if lost else "no pairs"), more, less, ties)
    share = (more + ties / 2) / n
    low, high = wilson_interval(share, n, confidence)
    reason = f"{lost} of {n + lost} pairs have no score and are left out" if lost else None
    return Preference(Measurement(share, low, high, n, reason), more, less, ties)
