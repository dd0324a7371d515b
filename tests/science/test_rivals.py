"""Each rival reaches what its idea promises, on data in which it is known where the bias comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biasmask.data.samplers import balanced_rows
from biasmask.methods.dfr import averaged_head, logistic_regression, standardisation
from biasmask.methods.fairprune import pruning_scores, saliency, smallest_scores
from biasmask.methods.importance import importances
from tests.conftest import FinishedRun, compose_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
GAP, AUROC = "test/equalized_odds_mean/skin_tone", "test/auroc"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], FinishedRun]:
    """`rendered(method)`: a small net on rendered lesions, the baseline shared."""
    home = tmp_path_factory.mktemp("rivals")
    done: dict[str, FinishedRun] = {}

    def make(method: str) -> FinishedRun:
        from biasmask.pipeline.train_run import train

        if method not in done:
            overrides = ["experiment=bmft_rendered", f"debias={method}", "backbone=test_resnet", "trainer.max_epochs=8"]
            overrides += ["data.source.n={train: 1200, debias: 500, val: 400, test: 1000}", "data.image_size=32"]
            overrides += ["metrics.n_bootstrap=0", "threads=1"]
            overrides += ["trainer=cpu", "logger=none", "progress=false", f"paths.log_dir={home}", "seed=1"]
            folder = Path(home / method)
            done[method] = FinishedRun(folder, train(compose_config("train", overrides, folder)))
        return done[method]

    return make


def figure(run: FinishedRun, key: str, model: str = "debiased") -> float:
    return run.read("metrics.json")["models"][model][key]["value"]


@pytest.mark.parametrize("method", ["swift", "freeze_early"])
def test_the_gap_falls_and_auroc_stays(method: str, rendered: Callable[[str], FinishedRun]) -> None:
    run = rendered(method)
    before, after = figure(run, GAP, "base"), figure(run, GAP)
    assert before > 0.1, f"there is no planted bias to remove: {before:.3f}"
    assert after < 0.5 * before, f"gap {before:.3f} -> {after:.3f}"
    assert figure(run, AUROC) > figure(run, AUROC, "base") - 0.02
    assert run.read("metrics.json")["collapse"]["collapsed"] is False


def rate_gap(frame: pd.DataFrame) -> float:
    """Mean of the gaps of TPR and FPR of the decisions."""
    rates = frame.groupby(["target", "attribute:skin_tone"])["prediction"].mean().unstack()
    return float((rates.max(axis=1) - rates.min(axis=1)).mean())


def test_thresholds_equalise_the_odds_and_change_no_score(rendered: Callable[[str], FinishedRun]) -> None:
    run = rendered("thresholds")
    gaps = [rate_gap(pd.read_parquet(run.folder / "predictions" / f"debiased_{split}.parquet")) for split in ("val", "test")]
    assert gaps[0] < 0.05 and gaps[1] < 0.1 < figure(run, GAP, "base"), gaps
    assert gaps[1] == pytest.approx(figure(run, GAP)), "the figures are those of the decisions"
    assert figure(run, AUROC) == figure(run, AUROC, "base")


def spurious_features(n: int, agreement: float, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Features of which the first tells the group, the second (less clearly) the target, the others nothing."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, n)
    group = np.where(rng.random(n) < agreement, target, 1 - target)
    noise = rng.normal(size=(n, 8))
    noise[:, 0] = 3 * (2 * group - 1) + 0.5 * noise[:, 0] + 5
    noise[:, 1] = 1.5 * (2 * target - 1) + noise[:, 1]
    return torch.as_tensor(noise), target, group


def worst_accuracy(weight: Tensor, bias: Tensor, x: Tensor, target: np.ndarray, group: np.ndarray) -> float:
    right = ((x @ weight.T + bias)[:, 0] > 0).numpy() == target
    return min(right[(target == y) & (group == a)].mean() for y in (0, 1) for a in (0, 1))


def test_dfr_ignores_a_spurious_feature() -> None:
    x, target, group = spurious_features(2000, 0.95, seed=0)
    held = spurious_features(4000, 0.5, seed=1)
    mean, deviation = standardisation(x)
    scaled, y = (x - mean) / deviation, torch.as_tensor(target)
    plain = averaged_head([logistic_regression(scaled, y, 2, 0.01)], mean, deviation)
    draws = [balanced_rows(target, group, "all_cells", rng=np.random.default_rng([0, k])) for k in range(10)]
    ours = averaged_head([logistic_regression(scaled[rows], y[rows], 2, 0.01) for rows in draws], mean, deviation)
    share = [float(head.weight[0, 0].abs() * deviation[0] / (head.weight[0, 1].abs() * deviation[1])) for head in (plain, ours)]
    assert share[0] > 0.5 and share[1] < 0.1, f"weight of the spurious feature against the true one: {share}"
    worst = [worst_accuracy(*head, *held) for head in (plain, ours)]
    assert worst[1] > worst[0] + 0.1 and worst[1] > 0.85, f"worst-group accuracy {worst}"


def two_groups(n: int, share_of_first: float, seed: int) -> dict[str, Tensor]:
    """The target lies in features 0-9 for the first group and in 10-19 for the second; a feature tells the group."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 21, generator=generator)
    group = (torch.rand(n, generator=generator) >= share_of_first).long()
    x[:, 20] = 2.0 * group - 1
    told = torch.where(group == 0, x[:, :10].sum(1), x[:, 10:20].sum(1))
    return {"x": x, "group": group, "target": (told > 0).float()}


def group_losses(net: nn.Module, data: dict[str, Tensor]) -> list[float]:
    with torch.no_grad():
        each = F.binary_cross_entropy_with_logits(net(data["x"])[:, 0], data["target"], reduction="none")
    return [float(each[data["group"] == g].mean()) for g in (0, 1)]


def test_fairprune_costs_the_best_group_more_and_the_gap_falls() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(21, 64), nn.ReLU(), nn.Linear(64, 1))
    train, held = two_groups(1500, 0.9, seed=0), two_groups(4000, 0.5, seed=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005, weight_decay=1e-4)
    for _ in range(300):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(net(train["x"])[:, 0], train["target"]).backward()
        optimizer.step()
    before = group_losses(net, held)
    assert before[1] > before[0] + 0.1, f"the first group is served better: {before}"

    debias = two_groups(800, 0.5, seed=2)
    parameters = {"0.weight": net[0].weight}
    pruned = {"0.weight": torch.zeros_like(net[0].weight, dtype=torch.bool)}
    for step in range(1, 6):
        losses: dict[str, Any] = {str(g): group_loss(g) for g in (0, 1)}
        batches = [{name: part[i : i + 100] for name, part in debias.items()} for i in range(0, 800, 100)]
        curvature = importances(lambda batch: net(batch["x"])[:, 0], batches, parameters, losses)
        by_group = {g: saliency(dict(net.named_parameters()), curvature[str(g)]) for g in (0, 1)}
        pruned = smallest_scores(pruning_scores(by_group, worst=1, best=0, beta=0.5), pruned, 20 * step)
        with torch.no_grad():
            net[0].weight[pruned["0.weight"]] = 0
    after = group_losses(net, held)
    rises = [after[g] - before[g] for g in (0, 1)]
    assert rises[0] > rises[1] and rises[0] > 0, f"losses {before} -> {after}"
    assert abs(after[1] - after[0]) < 0.8 * (before[1] - before[0]), f"losses {before} -> {after}"


def group_loss(group: int) -> Callable[[Tensor, Any], Tensor]:
    def loss(logits: Tensor, batch: Any) -> Tensor:
        rows = batch["group"] == group
        return F.binary_cross_entropy_with_logits(logits[rows], batch["target"][rows])

    return loss
