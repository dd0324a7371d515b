"""DFR from end to end, its choice of a penalty, and heads of one output, of two, and of one a class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from biasmask.errors import MethodError
from biasmask.methods.dfr import LinearHead
from biasmask.models.image_classifier import head_of, target_logits
from biasmask.pipeline.dfr import best_strength, worst_group_auroc, write_head
from tests.conftest import Runner, UserTable


@pytest.mark.parametrize("outputs", [1, 2])
def test_only_the_head_changes(outputs: int, runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> None:
    path = trained_net(outputs=outputs)
    run = runner.train(*user_table.overrides[:4], f"model.ckpt_path={path}", "debias=dfr")
    before, after = (torch.load(file, weights_only=True) for file in (path, run.folder / "debiased_timm.pt"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    record = run.stage("refit")
    assert record["edited"] == outputs * 97 and record["changed_outside"] == 0
    assert "worst-group AUROC on val" in record["notes"][0]


@pytest.mark.parametrize(("outputs", "rows"), [(1, 1), (2, 1), (4, 4)])
def test_a_written_head_gives_the_logits_of_the_regression(outputs: int, rows: int) -> None:
    net = timm.create_model("test_resnet", num_classes=outputs)
    generator = torch.Generator().manual_seed(0)
    found = LinearHead(torch.randn(rows, 96, generator=generator), torch.randn(rows, generator=generator))
    write_head(net, found)
    features = torch.randn(5, 96, generator=generator)
    expected = target_logits(features @ found.weight.T + found.bias)
    torch.testing.assert_close(target_logits(head_of(net)[1](features)), expected)


def test_the_worst_group_chooses_the_penalty_and_ties_go_to_the_stronger() -> None:
    features = torch.tensor([[0.0], [1.0], [1.0], [0.0], [2.0], [3.0]])
    target, group = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, -1, 2])
    head = LinearHead(torch.ones(1, 1), torch.zeros(1))
    assert worst_group_auroc(head, features, target, group) == 0.0, "group 2 has one class, and a row has no group"
    assert best_strength([0.6, 0.8, float("nan"), 0.8], [0.1, 0.2, 0.3, 0.4]) == 3
    with pytest.raises(MethodError, match="no penalty can be chosen"):
        best_strength([float("nan")], [0.1])


def test_settings_and_data_that_do_not_fit_are_named(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    start = [*user_table.overrides[:4], f"model.ckpt_path={trained_net()}", "debias=dfr"]
    assert "penalty=l0" in runner.error(lambda: runner.train(*start, "debias.refit.penalty=l0"))
    assert "strengths" in runner.error(lambda: runner.train(*start, "debias.refit.strengths=[]"))
    assert "views=9" in runner.error(lambda: runner.train(*start, "debias.refit.views=9"))
