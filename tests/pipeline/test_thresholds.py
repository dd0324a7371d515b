"""Thresholds for each group: the rule is fairlearn's, it travels with the checkpoint, and rows without a group have one too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.postprocessing import ThresholdOptimizer

from biasmask.methods.group_thresholds import positive_probability
from biasmask.pipeline.decisions import group_labels
from biasmask.pipeline.thresholds import CONSTRAINTS, GivenScores, one_threshold, plain_rule
from tests.conftest import Runner, UserTable


@pytest.fixture
def start(user_table: UserTable, trained_net: Callable[..., Path]) -> list[str]:
    return [*user_table.overrides[:4], f"model.ckpt_path={trained_net()}", "debias=thresholds"]


def predictions(run: Any, split: str = "test", model: str = "debiased") -> pd.DataFrame:
    return pd.read_parquet(run.folder / "predictions" / f"{model}_{split}.parquet")


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_the_rule_gives_the_probabilities_of_fairlearn(constraint: str) -> None:
    rng = np.random.default_rng(0)
    n = 300
    group, target = rng.integers(0, 3, n), rng.integers(0, 2, n)
    score = 1 / (1 + np.exp(-(target + 0.7 * group * (1 - target) + rng.normal(size=n))))
    optimizer = ThresholdOptimizer(
        estimator=GivenScores(),
        constraints=constraint,
        objective="balanced_accuracy_score",
        prefit=True,
        predict_method="predict",
    )
    optimizer.fit(score[:, None], target, sensitive_features=group)
    theirs = optimizer._pmf_predict(score[:, None], sensitive_features=group)[:, 1]
    ours = np.zeros(n)
    for index, rule in optimizer.interpolated_thresholder_.interpolation_dict.items():
        at = group == index
        ours[at] = positive_probability(torch.as_tensor(score[at]), plain_rule(rule)).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_model_stays_and_its_decisions_travel_with_the_checkpoint(runner: Runner, start: list[str]) -> None:
    run = runner.train(*start)
    about = run.read("run.json")
    assert about["needs_attribute"] is True and "attribute" in about["label"]
    frame, base = predictions(run), predictions(run, model="base")
    assert frame["score"].equals(base["score"]) and "prediction" not in base and frame["prediction"].isin([0, 1]).all()
    values = run.read("metrics.json")["difference"]
    assert values["test/auroc"]["value"] == 0.0
    again = runner.evaluate(run.folder)
    assert predictions(again)["prediction"].equals(frame["prediction"])
    assert again.read("run.json")["needs_attribute"] is True
    own, first = again.read("metrics.json")["models"]["debiased"], run.read("metrics.json")["models"]["debiased"]
    assert own["test/tpr/sex=male"] == first["test/tpr/sex=male"]
    assert run.stage("thresholds")["edited"] == 0 and "needs the sensitive attribute" in run.stage("thresholds")["notes"][0]


def test_rows_without_a_group_take_one_threshold(runner: Runner, start: list[str], user_table: UserTable) -> None:
    frame = user_table.frame.copy()
    frame.loc[frame["split"] == "test", "sex"] = None
    user_table.save(frame)
    with pytest.warns(UserWarning, match="no row has a known group of sex"):
        run = runner.train(*start)
    decision = torch.load(run.folder / "checkpoints" / "debiased.ckpt", weights_only=True)["biasmask"]["decision"]
    found = predictions(run)
    assert found["attribute:sex"].isna().all() and set(decision["groups"]) == {"female", "male"}
    pooled = positive_probability(torch.as_tensor(found["score"].to_numpy()), decision["pooled"])
    assert found["prediction"].tolist() == pooled.long().tolist()


def test_another_seed_draws_otherwise_and_the_same_seed_alike(runner: Runner, start: list[str]) -> None:
    runs = [runner.train(*start, f"seed={seed}", store=runner.home / f"store{k}") for k, seed in enumerate((1, 1))]
    assert predictions(runs[0])["prediction"].equals(predictions(runs[1])["prediction"])


def test_crossed_groups_are_put_together_from_their_parts() -> None:
    class Encoded:
        def __init__(self, names: tuple[str, ...], index: list[int]):
            self.group_names, self.index = names, np.array(index)

    class Data:
        groups = {"sex": Encoded(("f", "m"), [0, 1, -1]), "age": Encoded(("old", "young"), [0, 0, 1])}
        table = type("Table", (), {"frame": pd.DataFrame(index=range(3))})

    assert group_labels(Data(), "sex+age").tolist() == ["f & old", "m & old", None]  # type: ignore[arg-type]
    assert group_labels(Data(), "site").tolist() == [None] * 3  # type: ignore[arg-type]
    assert positive_probability(torch.tensor([0.4, 0.6]), one_threshold(0.5)).tolist() == [0.0, 1.0]


def test_what_cannot_be_done_is_named_before_it_is_tried(
    runner: Runner, start: list[str], user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    assert "constraint=parity" in runner.error(lambda: runner.train(*start, "debias.thresholds.constraint=parity"))
    assert "split val" in runner.error(lambda: runner.train(*start, "debias.thresholds.split=test"))
    assert "objective" in runner.error(lambda: runner.train(*start, "debias.thresholds.objective=beauty"))
    frame = user_table.frame.copy()
    frame.loc[(frame["split"] == "val") & (frame["sex"] == "male"), "target"] = 1
    user_table.save(frame)
    assert "group male has rows of one class only" in runner.error(lambda: runner.train(*start))
