"""The stage `thresholds`: a rule of decision for each group, on the scores of a model that stays as it is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator

from biasmask.errors import ConfigError, DataError
from biasmask.metrics.threshold import select_threshold
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.predictions import predict_logits, predictions_frame
from biasmask.pipeline.stages import Outcome, StoredStage

CONSTRAINTS = (
    *("equalized_odds", "demographic_parity", "true_positive_rate_parity", "false_positive_rate_parity"),
    *("true_negative_rate_parity", "false_negative_rate_parity"),
)


class GivenScores(BaseEstimator):
    """What ThresholdOptimizer takes for a fitted estimator: its only feature is the score."""

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, _features: Any, _target: Any) -> "GivenScores":
        return self

    def predict(self, features: Any) -> np.ndarray:
        return np.asarray(features)[:, 0]


@dataclass
class Thresholds(StoredStage):
    """Choose on the validation split, for each group, the thresholds that equalise rates, as well as these scores allow.

    Args:
        constraint: which rates become equal: one of CONSTRAINTS.
        objective: what is best among the rules that keep the constraint.
        grid_size: points at which the groups' ROC curves are compared.
        flip: whether a rule may call low scores positive.
        pooled_rule: rule of the one threshold for rows whose group isn't known.
        split: the rows to choose on.
    """

    constraint: str
    objective: str
    grid_size: int
    flip: bool
    pooled_rule: str
    split: str

    def __post_init__(self) -> None:
        if self.constraint not in CONSTRAINTS:
            raise ConfigError(f"debias.thresholds.constraint={self.constraint}: choose one of {', '.join(CONSTRAINTS)}")
        if self.split != "val":
            raise ConfigError(f"debias.thresholds.split={self.split}: thresholds are chosen on the split val and on no other")

    def require(self, hyper: dict[str, Any]) -> None:
        if hyper["num_outputs"] > 2:
            raise ConfigError(
                f"debias=thresholds needs two classes, and the network has {hyper['num_outputs']} outputs: "
                "choose another method, or one class against the rest as target.positive"
            )

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {"trainer": context.stage_key, "data": context.fingerprint(self.split), "attribute": context.attribute.name}

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        if state is None:
            raise ConfigError(f"stage {name} needs a model: the baseline comes first")
        data, attribute = context.data, context.attribute
        rows = data.rows(self.split)
        frame = predictions_frame(data, rows, predict_logits(state, context, rows, name))
        group = attribute.index[rows]
        rules = self._fit(frame[group >= 0], group[group >= 0], attribute.group_names)
        target = torch.as_tensor(frame["target"].to_numpy())
        pooled = select_threshold(torch.as_tensor(frame["score"].to_numpy()), target, self.pooled_rule)
        decision = {
            "kind": "group_thresholds",
            "attribute": attribute.name,
            "seed": context.seed,
            "groups": rules,
            "pooled": one_threshold(float(np.nextafter(pooled, -np.inf))),  # > of the rules is >= of the pooled threshold
        }
        mixed = [group_name for group_name, rule in rules.items() if 0 < rule["p0"] < 1 or rule["p_ignore"] > 0]
        notes = ["prediction needs the sensitive attribute"]
        if mixed:
            notes.append(f"decisions of {', '.join(mixed)} are drawn at random in part, with the run's seed")
        label = f"thresholds of {len(rules)} groups by {self.constraint.replace('_', ' ')} on {self.split}"
        facts = {"edited": 0, "parameters": sum(t.numel() for _, t in state.network().named_parameters())}
        return Outcome(replace(state, decision=decision), label, facts=facts, notes=tuple(notes))

    def _fit(self, frame: pd.DataFrame, group: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        target = frame["target"].to_numpy()
        for index in np.unique(group):
            if len(set(target[group == index])) < 2:
                raise DataError(
                    f"group {names[index]} has rows of one class only in the split {self.split}: no threshold can be chosen for "
                    "it; merge groups in data.attributes, or enlarge the split"
                )
        optimizer = ThresholdOptimizer(
            estimator=GivenScores(),
            constraints=self.constraint,
            objective=self.objective,
            grid_size=self.grid_size,
            flip=self.flip,
            prefit=True,
            predict_method="predict",
        )
        try:
            optimizer.fit(frame[["score"]].to_numpy(), target, sensitive_features=group)
        except ValueError as error:
            raise ConfigError(f"debias.thresholds: {str(error).splitlines()[0]}") from error
        found = optimizer.interpolated_thresholder_.interpolation_dict
        return {names[int(index)]: plain_rule(rule) for index, rule in sorted(found.items())}


def plain_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule of fairlearn as the primitives of `methods.group_thresholds`."""
    first, second = rule["operation0"], rule["operation1"]
    return {
        "p0": float(rule["p0"]),
        "operation0": str(first.operator),
        "threshold0": float(first.threshold),
        "p1": float(rule["p1"]),
        "operation1": str(second.operator),
        "threshold1": float(second.threshold),
        "p_ignore": float(rule.get("p_ignore", 0.0)),
        "constant": float(rule.get("prediction_constant", 0.0)),
    }


def one_threshold(threshold: float) -> dict[str, Any]:
    """The rule `score > threshold`."""
    both = {f"{key}{which}": value for which in "01" for key, value in (("operation", ">"), ("threshold", threshold))}
    return {**both, "p0": 1.0, "p1": 0.0, "p_ignore": 0.0, "constant": 0.0}
