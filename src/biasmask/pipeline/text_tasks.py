"""Probes beside the first: tasks of single texts, of pairs, and of graded pairs, judged on frozen embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from biasmask.data.task_table import TaskTable, read_task
from biasmask.errors import ConfigError
from biasmask.metrics.measurement import Measurement
from biasmask.metrics.probe import ProbeResult, linear_probe_accuracy, pair_features, probe_difference
from biasmask.metrics.rank_agreement import rank_agreement

Embed = Callable[[Sequence[str], str], Tensor]


@dataclass(frozen=True)
class Graded:
    """Cosines (M,) of the test pairs, and their grades."""

    cosine: Tensor
    grades: Tensor


TaskResult = ProbeResult | Graded


class TextTasks:
    """The tasks of `metrics.probes`.

    Args:
        settings: the `metrics` node: probes, probe_folder, probe_rows, seed.
        draws: arguments of the intervals.

    Raises:
        ConfigError: a task twice.
        DataError: a table that isn't there or is damaged.
    """

    def __init__(self, settings: dict[str, Any], draws: dict[str, Any]) -> None:
        self.tables: list[TaskTable] = [
            read_task(str(task), settings["probe_folder"], settings["probe_rows"], settings["seed"])
            for task in settings["probes"] or []
        ]
        self.draws = draws
        names = [table.name for table in self.tables]
        if len(set(names)) < len(names):
            raise ConfigError(f"metrics.probes={names} names a task twice")

    def judge(self, embed: Embed) -> dict[str, TaskResult]:
        """Key of metrics.json -> what a model gave.

        Args:
            embed: (N, D) embeddings of N texts, given them and a label for the bar.
        """
        found: dict[str, TaskResult] = {}
        for table in self.tables:
            rows = [*table.train, *table.test]
            features = embed([table.texts[row] for row in rows], table.name)
            target = torch.as_tensor(table.target[rows])
            n_train = len(table.train)
            second = embed([table.seconds[row] for row in rows], table.name) if table.seconds else None
            if table.graded:
                found[f"probe/spearman/{table.name}"] = Graded(torch.cosine_similarity(features, second), target)
                continue
            features = features if second is None else pair_features(features, second)
            found[f"probe/accuracy/{table.name}"] = linear_probe_accuracy(
                features[:n_train], target[:n_train], features[n_train:], target[n_train:], **self.draws
            )
        return found

    def figure(self, result: TaskResult) -> Measurement:
        """Accuracy, or rank correlation, with its interval."""
        return result.accuracy if isinstance(result, ProbeResult) else rank_agreement(result.cosine, result.grades, **self.draws)

    def difference(self, base: TaskResult, debiased: TaskResult) -> Measurement:
        """Of two models on the same rows, paired."""
        if isinstance(base, ProbeResult) and isinstance(debiased, ProbeResult):
            return probe_difference(base, debiased, **self.draws)
        assert isinstance(base, Graded) and isinstance(debiased, Graded)
        return rank_agreement(debiased.cosine, debiased.grades, base.cosine, **self.draws)
