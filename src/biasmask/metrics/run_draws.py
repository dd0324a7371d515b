"""Bootstrap draws of several runs at once, the interval of their mean, and what is to be said of it.

Letters: R runs, D draws, N rows, M figures.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

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
    runs: Sequence[Predictions], thresholds: Sequence[Threshold], split: str, weights: Sequence[Tensor]
) -> list[TableDraws]:
    """Every figure of each run; ValueError for no run, another number of thresholds, classes that differ."""
    if not runs or len(runs) != len(thresholds):
        raise ValueError(f"{len(runs)} runs and {len(thresholds)} thresholds: give one or more runs, and a threshold for each")
    if len({run.class_names for run in runs}) > 1:
        raise ValueError(f"runs have different classes: {', '.join(sorted({str(run.class_names) for run in runs}))}")
    return [draw_table(run, threshold, split, own) for run, threshold, own in zip(runs, thresholds, weights, strict=True)]


def mean_intervals(
    points: Tensor, draws: Tensor, confidence: float, seed: int
) -> tuple[list[float], list[float], list[str | None]]:
    """Percentile interval of the mean over the runs in which a figure is defined, runs drawn anew in each draw.

    Formula: in each draw one run is left out at random and R are drawn from the others with replacement.

    Args:
        points: (R, M) float64; NaN = undefined in that run, which is left out.
        draws: (R, D, M) float64, the same figures on bootstrap draws of the rows.
        confidence: coverage, in (0, 1).
        seed: of the draws of runs.

    Returns:
        low, high, and why there is no interval where there is none, each of length M.

    Source: bootknife, Hesterberg 2004, for the runs.

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
        drawn = _drawn_runs(len(runs), n_draws, seed)
        own = draws[runs][:, :, columns]
        mean[:, columns] = own[drawn, torch.arange(n_draws).unsqueeze(1)].mean(1)
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


def either_reason(one: str | None, other: str | None) -> str | None:
    """The reasons of both models, once where they say the same.

    >>> either_reason("small: group f has 3 rows", None)
    'small: group f has 3 rows'
    """
    return "; ".join(dict.fromkeys(text for text in (one, other) if text)) or None


def runs_reason(reasons: Sequence[str | None], points: Tensor, note: str | None, least_p: float | None = None) -> str | None:
    """What there is to say of a figure over runs: runs left out, warnings, and what so few runs can't tell.

    Args:
        reasons: R, of the figure in each run.
        points: (R,) float64; NaN = undefined in that run.
        note: why there is no interval.
        least_p: the smallest p-value that the runs left can give, for a comparison.

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
    elif least_p is not None and least_p > USUAL_LEVEL:
        found.append(f"{n_runs} runs: p can't be below {least_p:.3g}")
    return "; ".join(found) or None
