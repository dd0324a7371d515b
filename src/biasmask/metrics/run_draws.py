"""Bootstrap draws of several runs at once, the interval of their mean, and what is to be said of it.

Letters: R runs, D draws, N rows, M figures.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from biasmask.metrics.attribute_means import with_means
from biasmask.metrics.bootstrap import percentile_interval
from biasmask.metrics.evaluation import draw_table
from biasmask.metrics.predictions import Predictions
from biasmask.metrics.table_draws import TableDraws, Threshold, strata_weights

# Runs and rows must not be drawn from the same stream of random numbers.
RUN_STREAM = 1_000_003
USUAL_LEVEL = 0.05


def run_weights(runs: Sequence[Predictions], n_draws: int, seed: int) -> list[Tensor]:
    """Row weights (D, N) for each run: the same where rows, targets and groups are, else independent ones.

    >>> rows = Predictions(torch.arange(4), torch.rand(4), torch.tensor([0, 0, 1, 1]), {}, {})
    >>> one, other = run_weights([rows, rows], n_draws=3, seed=0)
    >>> one is other
    True
    """
    tables: list[tuple[Predictions, Tensor]] = []
    found = []
    for run in runs:
        weights = next((known for table, known in tables if _same_table(table, run)), None)
        if weights is None:
            weights = strata_weights(run, n_draws, seed + len(tables))
            tables.append((run, weights))
        found.append(weights)
    return found


def _same_table(one: Predictions, other: Predictions) -> bool:
    pairs = [(one.row, other.row), (one.target, other.target), *((one.group[name], other.group[name]) for name in one.group)]
    return all(torch.equal(*pair) for pair in pairs)


def draw_runs(
    runs: Sequence[Predictions],
    thresholds: Sequence[Threshold],
    split: str,
    weights: Sequence[Tensor],
    mean_over: Sequence[str] = (),
) -> list[TableDraws]:
    """Every figure of each run, the mean gap over some attributes too.

    Raises:
        ValueError: no run, another number of thresholds, classes that differ.
    """
    if not runs or len(runs) != len(thresholds):
        raise ValueError(f"{len(runs)} runs and {len(thresholds)} thresholds: give one or more runs, and a threshold for each")
    if len({run.class_names for run in runs}) > 1:
        raise ValueError(f"runs have different classes: {', '.join(sorted({str(run.class_names) for run in runs}))}")
    trios = zip(runs, thresholds, weights, strict=True)
    return [with_means(draw_table(run, threshold, split, own), mean_over) for run, threshold, own in trios]


def mean_intervals(
    points: Tensor, draws: Tensor, confidence: float, seed: int, clusters: Sequence[Hashable] | None = None
) -> tuple[list[float], list[float], list[str | None]]:
    """Percentile interval of the mean over the runs in which a figure is defined, runs drawn anew in each draw.

    Formula: in each draw one run is left out at random and R are drawn from the others with replacement. With clusters, these
    are drawn so, then runs with replacement within each of them, and each drawn cluster counts the same.

    Args:
        points: (R, M) float64; NaN = undefined in that run, which is left out.
        draws: (R, D, M) float64, the same figures on bootstrap draws of the rows.
        confidence: coverage, in (0, 1).
        seed: of the draws of runs.
        clusters: R names of what runs share, such as their split; None = runs are independent.

    Returns:
        low, high, and why there is no interval where there is none, each of length M.

    Source: bootknife, Hesterberg 2004, for the runs or clusters; two levels, Davison and Hinkley 1997, section 3.8. Both levels
    with replacement is the wider choice: the luck of a cluster's runs is in the spread of the clusters already.

    >>> mean_intervals(torch.ones(2, 1), torch.ones(2, 9, 1), 0.9, seed=0)
    ([1.0], [1.0], [None])
    """
    n_draws, n_figures = draws.shape[1:]
    mean = torch.full((n_draws, n_figures), torch.nan, dtype=draws.dtype)
    # Figures with the same defined runs are drawn together: mostly there is one such pattern.
    patterns, which = (~points.isnan()).T.unique(dim=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        columns, runs = (which == number).nonzero().flatten(), pattern.nonzero().flatten()
        own, place = draws[runs][:, :, columns], torch.arange(n_draws).unsqueeze(1)
        names = None if clusters is None else [clusters[run] for run in runs.tolist()]
        if names is None or len(set(names)) in (1, len(names)):
            mean[:, columns] = own[_drawn_runs(len(runs), n_draws, seed), place].mean(1)
        else:
            drawn, weight = _drawn_in_clusters(names, n_draws, seed)
            mean[:, columns] = (own[drawn, place] * weight.unsqueeze(-1)).sum(1)
    lows, highs, undefined = percentile_interval(mean, confidence)
    notes: list[str | None] = [None] * n_figures
    for column in (lows.isnan() & ~points.isnan().all(0)).nonzero().flatten().tolist():
        lost = f"undefined in {int(undefined[column])} of {n_draws} draws" if n_draws else "no draws asked for"
        notes[column] = f"no interval: {lost}"
    return lows.tolist(), highs.tolist(), notes


def _drawn_runs(n_runs: int, n_draws: int, seed: int) -> Tensor:
    """Places of the runs of each draw, (D, R): one run is left out, the others are drawn from with replacement.

    Drawing from all R would make the spread of the mean too small by (R - 1) / R, which for three runs is a third.
    """
    generator = torch.Generator().manual_seed(seed + RUN_STREAM)
    if n_runs == 1:
        return torch.zeros(n_draws, 1, dtype=torch.int64)
    left_out = torch.randint(n_runs, (n_draws, 1), generator=generator)
    drawn = torch.randint(n_runs - 1, (n_draws, n_runs), generator=generator)
    return drawn + (drawn >= left_out)


def _drawn_in_clusters(clusters: Sequence[Hashable], n_draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """Places of the runs of each draw and their weights, both (D, L): clusters are drawn as runs are, then runs within each."""
    members = [[place for place, own in enumerate(clusters) if own == name] for name in dict.fromkeys(clusters)]
    most = max(map(len, members))
    table = torch.tensor([own + [own[0]] * (most - len(own)) for own in members])
    outer = _drawn_runs(len(members), n_draws, seed)
    sizes = torch.tensor([len(own) for own in members])[outer].unsqueeze(-1)
    generator = torch.Generator().manual_seed(seed + 2 * RUN_STREAM)
    inner = (torch.rand(*outer.shape, most, generator=generator, dtype=torch.float64) * sizes).long()
    places = table[outer.unsqueeze(-1), inner]
    used = torch.arange(most) < sizes
    places = torch.where(used, places, places[..., :1])  # what isn't used weighs nothing, and is no run but a drawn one
    return places.flatten(1), (used / sizes.double() / len(members)).flatten(1)


def either_reason(one: str | None, other: str | None) -> str | None:
    """The reasons of both models, once where they say the same.

    >>> either_reason("small: group f has 3 rows", None)
    'small: group f has 3 rows'
    """
    return "; ".join(dict.fromkeys(text for text in (one, other) if text)) or None


def runs_reason(
    reasons: Sequence[str | None],
    points: Tensor,
    note: str | None,
    least_p: float | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> str | None:
    """What there is to say of a figure over runs: runs left out, warnings, and what so few runs can't tell.

    Args:
        reasons: R, of the figure in each run.
        points: (R,) float64; NaN = undefined in that run.
        note: why there is no interval.
        least_p: the smallest p-value that the runs left can give, for a comparison.
        clusters: R names of what runs share; None = they are independent.

    >>> runs_reason([None, "no positive"], torch.tensor([0.5, torch.nan]), None)
    'run 2 left out (no positive); one run: no spread over runs, the interval is about the test rows alone'
    """
    lost = points.isnan().tolist()
    n_runs = len(lost) - sum(lost)
    if not n_runs and len(set(reasons)) == 1:
        return reasons[0]
    found = [f"run {index + 1} left out ({text})" for index, text in enumerate(reasons) if lost[index]]
    warned = [text for index, text in enumerate(reasons) if text and not lost[index]]
    if warned:
        found.append(warned[0] if len(set(warned)) == 1 else f"{warned[0]} (or alike, in {len(warned)} of {n_runs} runs)")
    found += [note] if note else []
    if n_runs == 1:
        found.append("one run: no spread over runs, the interval is about the test rows alone")
    elif clusters is not None and len({name for name, out in zip(clusters, lost, strict=True) if not out}) == 1:
        found.append("runs of one split: nothing is known of the spread between splits")
    elif least_p is not None and least_p > USUAL_LEVEL:
        what = f"{n_runs} runs" if clusters is None else "so few splits"
        found.append(f"{what}: p can't be below {least_p:.3g}")
    return "; ".join(found) or None
