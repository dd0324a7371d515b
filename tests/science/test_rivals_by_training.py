"""Each rival that is a fine-tuning reaches what its idea promises, where the debias split leans as the training split does.

On such a split plain fine-tuning learns the correlation of skin tone and malignancy anew.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from biasmask.methods.gradient_reversal import adversary_loss, attribute_predictor, warmed_up
from biasmask.metrics.probe import linear_probe_accuracy
from tests.conftest import FinishedRun, Runner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
GAP, AUROC = "test/equalized_odds_mean/skin_tone", "test/auroc"
SEEDS = (1,)
Runs = Callable[[str], list[FinishedRun]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Runs:
    """`runs(method)`: a seed on rendered lesions, correlation .7 in every split; the baseline is shared."""
    runner = Runner(tmp_path_factory.mktemp("fine_tuning"), shared_folder)
    done: dict[str, list[FinishedRun]] = {}
    sizes = "data.source.n={train: 1200, debias: 600, val: 300, test: 800}"
    own = ("data.source.test_correlation=0.7", sizes, "data.image_size=32", "trainer.max_epochs=6", "baseline.optimizer.lr=0.05")
    own += ("debias.finetune.epochs=14",)

    def make(method: str) -> list[FinishedRun]:
        if method not in done:
            words = ("experiment=bmft_rendered", *own, f"debias={method}", "metrics.n_bootstrap=2")
            done[method] = [runner.train(*words, f"seed={seed}") for seed in SEEDS]
        return done[method]

    return make


def figure(found: list[FinishedRun], key: str, model: str = "debiased") -> float:
    return mean(run.figures["models"][model][key]["value"] for run in found)


def cells(run: FinishedRun) -> pd.DataFrame:
    """Mean loss and mean score of each group and target on the test split."""
    frame = pd.read_parquet(run.folder / "predictions" / "debiased_test.parquet")
    score = frame["score"].clip(1e-7, 1 - 1e-7)
    frame["loss"] = -np.log(np.where(frame["target"] == 1, score, 1 - score))
    return frame.groupby(["target", "attribute:skin_tone"])[["loss", "score"]].mean()


def worst_loss(found: list[FinishedRun]) -> float:
    return mean(cells(run)["loss"].max() for run in found)


def soft_gap(found: list[FinishedRun]) -> float:
    """Gap of the mean scores between the groups, averaged over the two targets: what the bias loss charges."""
    by_target = [cells(run)["score"].unstack() for run in found]
    return mean(float((table.max(axis=1) - table.min(axis=1)).mean()) for table in by_target)


def test_group_dro_lowers_the_loss_of_the_worst_cell(runs: Runs) -> None:
    """The promise is about the worst cell; what it costs over all rows, where the correlation helps, is AUROC."""
    assert worst_loss(runs("group_dro")) < 0.7 * worst_loss(runs("full_ft"))
    assert figure(runs("group_dro"), AUROC) > 0.85


def test_balanced_data_lowers_the_gap(runs: Runs) -> None:
    assert figure(runs("full_ft"), GAP) > 0.3, "there is no planted bias that fine-tuning learns anew"
    assert figure(runs("full_ft_reweight"), GAP) < 0.7 * figure(runs("full_ft"), GAP)


def test_the_bias_loss_lowers_the_gap_that_it_charges(runs: Runs) -> None:
    assert soft_gap(runs("full_ft_regularised")) < 0.85 * soft_gap(runs("full_ft"))


def test_both_together_do_no_worse_than_the_better_one(runs: Runs) -> None:
    one = min(figure(runs("full_ft_reweight"), GAP), figure(runs("full_ft_regularised"), GAP))
    assert figure(runs("full_ft_both"), GAP) <= one + 0.03


def told(weight: float, seed: int) -> tuple[float, float, float]:
    """How well a fresh linear reader tells the group from the features of a trained net before and after a fine-tuning against
    an adversary, and the AUROC of the target after it; ten noisy inputs lean on the target, ten on the group."""
    torch.manual_seed(seed)
    target, group = torch.randint(0, 2, (2, 3000))
    means = torch.cat([(part * 2.0 - 1)[:, None].expand(-1, 10) for part in (target, group)], 1)
    x = means + 2 * torch.randn(3000, 20)
    net, head, other = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4)), nn.Linear(4, 1), nn.Linear(4, 1)
    predictor = attribute_predictor(4, 16, 2)
    train, test = torch.arange(1500), torch.arange(1500, 3000)

    def loss_of(layer: nn.Linear, features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(layer(features)[:, 0], wanted.float())

    def accuracy() -> float:
        features = net(x).detach()
        return linear_probe_accuracy(features[train], group[train], features[test], group[test], n_draws=2).accuracy.value

    optimizer = torch.optim.SGD([*net.parameters(), *head.parameters(), *other.parameters()], 0.05)
    for _ in range(300):  # a net that serves target and group alike
        rows = torch.randint(0, 1500, (128,))
        features = net(x[rows])
        (loss_of(head, features, target[rows]) + loss_of(other, features, group[rows])).backward()
        optimizer.step()
        optimizer.zero_grad()
    before = accuracy()
    adversary = {"params": list(predictor.parameters()), "lr": 0.2}
    optimizer = torch.optim.SGD([{"params": [*net.parameters(), *head.parameters()]}, adversary], 0.05)
    for step in range(600):
        rows = torch.randint(0, 1500, (128,))
        features, share = net(x[rows]), warmed_up(step, 300)
        terms = adversary_loss(predictor, features, group[rows], weight * share)
        (loss_of(head, features, target[rows]) + terms.prediction + weight * share * terms.entropy).backward()
        optimizer.step()
        optimizer.zero_grad()
    logits = head(net(x[test])).detach()[:, 0]
    positive, negative = logits[target[test] == 1], logits[target[test] == 0]
    return before, accuracy(), float((positive[:, None] > negative).float().mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_reversal_makes_features_that_do_not_tell_the_group(seed: int) -> None:
    before, left, auroc = told(0.3, seed)
    _, untouched, auroc_without = told(0.0, seed)
    assert before > 0.9 and untouched > 0.9, "the features told the group, and fine-tuning for the target alone leaves it"
    assert left < 0.6, f"a linear reader is right in {left:.3f}; chance is 0.5"
    assert auroc > auroc_without - 0.01
