"""How often the 95 % intervals hold the truth: python scripts/interval_coverage.py

Draws tables from a population whose figures are known, computes each table's intervals as a run does, and counts. Prints
two Markdown tables for docs/metrics.md: intervals of one model and of two on one table, and intervals over runs.

The population: two groups, of which B has 30 % of the rows, more positives, and scores that are too low. Its TPR gap is
large and its FPR gap is 0. Sites have nothing to do with the scores, and the rare one has 5 % of the rows.
"""

import argparse
import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions
from biasmask.metrics.seed_comparison import compare_runs_paired, summarize_runs

SEX = {"sex": ("A", "B")}
ATTRIBUTES = {**SEX, "site": ("common", "rare")}
CLASSES = ("a", "b", "c")
MANY = dict.fromkeys(CLASSES, 1 / 3)
ROWS_OF_TRUTH = 2_000_000
EFFECT, SHIFT, NOISE = 1.6, 0.4, 1.0
VALUES = (
    "auroc",
    "balanced_accuracy",
    "accuracy",
    "auroc/sex=B",
    "tpr/sex=B",
    "tpr/site=rare",
    "equal_opportunity/sex",
    "equalized_odds_mean/sex",
    "fpr_gap/sex",
    "equal_opportunity/site",
)
DIFFERENCES = ("auroc", "tpr/sex=B", "equal_opportunity/sex", "fpr_gap/sex")
SEVERAL = ("auroc", "balanced_accuracy", "equal_opportunity/sex")
OVER_RUNS = ("auroc/sex=B", "tpr/sex=B")

phi = NormalDist().cdf
Hits = dict[str, list[bool]]


def rows(generator: np.random.Generator, n: int, n_classes: int = 2) -> pd.DataFrame:
    """Rows without scores: groups, sites and targets at random, so that their numbers vary from table to table."""
    second = generator.random(n) < 0.3
    positive = generator.random(n) < np.where(second, 0.4, 0.3)
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "target": positive.astype(int) if n_classes == 2 else generator.choice(n_classes, n, p=(0.6, 0.3, 0.1)),
            "attribute:sex": np.where(second, "B", "A"),
            "attribute:site": np.where(generator.random(n) < 0.05, "rare", "common"),
        }
    )


def scored(frame: pd.DataFrame, noise: np.ndarray, effect: float, shift: float) -> pd.DataFrame:
    """Scores of a model: its logits rank by `effect`, and the shift lifts A's positives and lowers B's."""
    sign, positive = np.where(frame["attribute:sex"] == "A", 1, -1), frame["target"].to_numpy()
    logit = effect * (positive - 0.5) + shift * sign * positive + NOISE * noise
    return frame.assign(score=1 / (1 + np.exp(-logit)))


def two_models(generator: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Base and debiased model on one table: half the shift, a bit less effect, and noise that is mostly shared."""
    frame, shared, own = rows(generator, n), generator.normal(size=n), generator.normal(size=(2, n))
    noise = math.sqrt(0.7) * shared + math.sqrt(0.3) * own
    return scored(frame, noise[0], EFFECT, SHIFT), scored(frame, noise[1], 0.95 * EFFECT, SHIFT / 2)


def many_classes(generator: np.random.Generator, n: int) -> pd.DataFrame:
    """Scores of three classes; the right one is lifted, in B by less."""
    frame = rows(generator, n, n_classes=3)
    logits = generator.normal(size=(n, 3))
    logits[np.arange(n), frame["target"]] += np.where(frame["attribute:sex"] == "A", 1.8, 0.9)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return frame.assign(**{f"score:{name}": scores[:, index] for index, name in enumerate(CLASSES)})


def runs(generator: np.random.Generator, n: int, n_runs: int, spread: float, folds: bool) -> tuple[list, list]:
    """Runs of two methods; `spread` is the standard deviation of a run's effect, folds have test rows of their own."""
    one, other = [], []
    table, shared = rows(generator, n), generator.normal(size=n)
    for _ in range(n_runs):
        if folds:
            table, shared = rows(generator, n), generator.normal(size=n)
        for found, gain in ((one, 0.0), (other, 0.2)):
            noise = math.sqrt(0.7) * shared + math.sqrt(0.3) * generator.normal(size=n)
            found.append(scored(table, noise, EFFECT + gain + spread * generator.normal(), SHIFT))
    return one, other


def truth_of_runs(spread: float) -> dict[str, float]:
    """Expected figures of a run: the effect is normal, and so its mean over runs has a closed form."""

    def auroc_of_b(effect: float) -> float:
        return phi((effect - SHIFT) / math.sqrt(2 * NOISE**2 + spread**2))

    def tpr_of_b(effect: float) -> float:
        return phi((effect / 2 - SHIFT) / math.sqrt(NOISE**2 + spread**2 / 4))

    found = {"auroc/sex=B": auroc_of_b(EFFECT), "tpr/sex=B": tpr_of_b(EFFECT)}
    changes = {"auroc/sex=B": auroc_of_b(EFFECT + 0.2), "tpr/sex=B": tpr_of_b(EFFECT + 0.2)}
    return found | {f"change of {key}": changes[key] - found[key] for key in found}


def truth_of_tables() -> dict[str, float]:
    """Figures of the population, from two million rows."""
    generator = np.random.default_rng(0)
    base, debiased = two_models(generator, ROWS_OF_TRUTH)
    values = evaluate_predictions(base, ATTRIBUTES, 0.5, n_bootstrap=0)
    changes = compare_predictions(base, debiased, ATTRIBUTES, (0.5, 0.5), n_bootstrap=0)
    several = evaluate_predictions(many_classes(generator, ROWS_OF_TRUTH), SEX, MANY, n_bootstrap=0)
    found = {key: values[f"test/{key}"].value for key in VALUES}
    found |= {f"change of {key}": changes[f"test/{key}"].value for key in DIFFERENCES}
    return found | {f"three classes: {key}": several[f"test/{key}"].value for key in SEVERAL}


def figures_of(generator: np.random.Generator, n: int, n_draws: int, seed: int) -> dict[str, tuple[float, float]]:
    """Intervals of one table drawn from the population, under the names of `truth_of_tables`."""
    base, debiased = two_models(generator, n)
    values = evaluate_predictions(base, ATTRIBUTES, 0.5, n_bootstrap=n_draws, seed=seed)
    changes = compare_predictions(base, debiased, ATTRIBUTES, (0.5, 0.5), n_bootstrap=n_draws, seed=seed)
    several = evaluate_predictions(many_classes(generator, n), SEX, MANY, n_bootstrap=n_draws, seed=seed)
    found = {key: values[f"test/{key}"] for key in VALUES}
    found |= {f"change of {key}": changes[f"test/{key}"] for key in DIFFERENCES}
    found |= {f"three classes: {key}": several[f"test/{key}"] for key in SEVERAL}
    return {key: (value.low, value.high) for key, value in found.items()}


def figures_of_runs(
    one: list[pd.DataFrame], other: list[pd.DataFrame], n_draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Intervals over runs: of one method's mean, of the change by the bootstrap, of the change by Student's t."""
    half = [0.5] * len(one)
    values = summarize_runs(one, half, SEX, n_bootstrap=n_draws, seed=seed)
    changes = compare_runs_paired(one, other, half, half, SEX, n_bootstrap=n_draws, seed=seed)
    found = {}
    for key in OVER_RUNS:
        value, change = values[f"test/{key}"], changes[f"test/{key}"]
        found |= {key: (value.low, value.high), f"change of {key}": (change.low, change.high)}
        found[f"change of {key}, Student"] = (change.t_low, change.t_high)
    return found


def count(hits: Hits, found: dict[str, tuple[float, float]], truth: dict[str, float]) -> None:
    """Note for each figure whether its interval held the truth; one without an interval is not counted."""
    for key, (low, high) in found.items():
        if not math.isnan(low):
            hits.setdefault(key, []).append(low <= truth[key.removesuffix(", Student")] <= high)


def lines(scenario: str, hits: Hits, truth: dict[str, float]) -> Iterator[str]:
    """Rows of a Markdown table: truth, coverage, and its own interval (Clopper and Pearson)."""
    for key, held in hits.items():
        low, high = binomtest(sum(held), len(held)).proportion_ci()
        coverage = f"{100 * np.mean(held):.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        value = truth[key.removesuffix(", Student")]
        yield f"| {scenario} | `{key}` | {value:.3f} | {len(held)} | {coverage} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000, help="tables a scenario (default 1000)")
    parser.add_argument("--run-tables", type=int, default=400, help="the same for intervals over runs (default 400)")
    parser.add_argument("--draws", type=int, default=300, help="bootstrap draws an interval (default 300; a run takes 1000)")
    arguments = parser.parse_args()
    print("| rows | figure | truth | tables | coverage (its own 95 % interval) |\n| --- | --- | --- | --- | --- |", flush=True)
    truth = truth_of_tables()
    for n in (400, 1500):
        hits: Hits = {}
        for seed in range(arguments.tables):
            count(hits, figures_of(np.random.default_rng((n, seed)), n, arguments.draws, seed), truth)
        print(*lines(str(n), hits, truth), sep="\n", flush=True)
    print("\n| runs | figure | truth | tables | coverage (its own 95 % interval) |\n| --- | --- | --- | --- | --- |", flush=True)
    for n_runs, spread, folds in ((3, 0.1, False), (3, 0.4, False), (5, 0.1, False), (5, 0.4, False), (5, 0.1, True)):
        hits = {}
        truth = truth_of_runs(spread)
        for seed in range(arguments.run_tables):
            one, other = runs(np.random.default_rng((n_runs, seed)), 400, n_runs, spread, folds)
            count(hits, figures_of_runs(one, other, arguments.draws, seed), truth)
        where = "rows of their own" if folds else "the same rows"
        print(*lines(f"{n_runs}, {where}, spread {spread}", hits, truth), sep="\n", flush=True)


if __name__ == "__main__":
    main()
