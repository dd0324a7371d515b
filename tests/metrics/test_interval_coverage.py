"""Intervals hold the truth about as often as they say, on tables drawn from a population whose figures are known."""

import importlib.util
from types import ModuleType

import numpy as np
import pytest

from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("interval_coverage", REPOSITORY / "scripts" / "interval_coverage.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def truth(simulation: ModuleType) -> dict[str, float]:
    """As the script's, from fewer rows: the figures are off by about 0.002."""
    simulation.ROWS_OF_TRUTH = 100_000
    return simulation.truth_of_tables()


def test_the_truth_is_that_of_the_normal_distribution(simulation: ModuleType, truth: dict[str, float]) -> None:
    # Scores of B: positives at effect / 2 - shift, negatives at -effect / 2, each with noise of 1.
    assert truth["tpr/sex=B"] == pytest.approx(simulation.phi(0.8 - 0.4), abs=0.005)
    assert truth["auroc/sex=B"] == pytest.approx(simulation.phi((1.6 - 0.4) / 2**0.5), abs=0.005)
    assert truth["equal_opportunity/sex"] == pytest.approx(simulation.phi(1.2) - simulation.phi(0.4), abs=0.01)
    of_runs = simulation.truth_of_runs(spread=0.0)
    assert of_runs["tpr/sex=B"] == pytest.approx(truth["tpr/sex=B"], abs=0.005)
    assert of_runs["auroc/sex=B"] == pytest.approx(truth["auroc/sex=B"], abs=0.005)


@pytest.mark.slow
def test_intervals_of_tables(simulation: ModuleType, truth: dict[str, float]) -> None:
    kept = ("auroc", "tpr/sex=B", "equal_opportunity/sex")
    changed = ("auroc", "tpr/sex=B")
    hits: dict[str, list[bool]] = {}
    for seed in range(150):
        base, debiased = simulation.two_models(np.random.default_rng((7, seed)), 400)
        values = evaluate_predictions(base, simulation.SEX, 0.5, n_bootstrap=200, seed=seed)
        changes = compare_predictions(base, debiased, simulation.SEX, (0.5, 0.5), n_bootstrap=200, seed=seed)
        found = {key: values[f"test/{key}"] for key in kept} | {f"change of {key}": changes[f"test/{key}"] for key in changed}
        simulation.count(hits, {key: (value.low, value.high) for key, value in found.items()}, truth)
    coverage = {key: float(np.mean(held)) for key, held in hits.items()}
    # 150 tables leave the coverage itself uncertain by 2 %; the script counts 1,000.
    assert all(0.89 <= share <= 0.995 for share in coverage.values()), coverage


@pytest.mark.slow
def test_intervals_of_many_tables_and_of_runs(simulation: ModuleType, truth: dict[str, float]) -> None:
    hits: dict[str, list[bool]] = {}
    for seed in range(150):
        simulation.count(hits, simulation.figures_of(np.random.default_rng((8, seed)), 400, 200, seed), truth)
    coverage = {key: float(np.mean(held)) for key, held in hits.items()}
    # Known to be off, and said to be so in docs/metrics.md: gaps whose truth is 0, and a rate of about seven rows.
    off = {key: coverage.pop(key) for key in ("fpr_gap/sex", "equal_opportunity/site", "tpr/site=rare", "change of fpr_gap/sex")}
    assert off["fpr_gap/sex"] < 0.9 and off["tpr/site=rare"] < 0.9 and off["change of fpr_gap/sex"] > 0.95, off
    del coverage["equalized_odds_mean/sex"]  # half of it is the FPR gap of 0
    assert all(0.90 <= share <= 0.99 for share in coverage.values()), coverage
    hits, of_runs = {}, simulation.truth_of_runs(0.1)
    for seed in range(80):
        one, other = simulation.runs(np.random.default_rng((9, seed)), 400, 5, 0.1, folds=False)
        simulation.count(hits, simulation.figures_of_runs(one, other, 200, seed), of_runs)
    coverage = {key: float(np.mean(held)) for key, held in hits.items()}
    assert all(share >= 0.90 for share in coverage.values()), coverage
