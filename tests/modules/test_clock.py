"""Where time goes and how much is left, by a clock that the test turns."""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from biasmask.modules.callbacks import StageProgress
from biasmask.modules.clock import Clock, TimeKeeper, TimeLeft


class Ticks:
    """A clock that stands still unless it is turned."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def walk(keeper: TimeKeeper, ticks: Ticks, *steps: tuple[float, str]) -> None:
    for seconds, hook in steps:
        ticks.now += seconds
        getattr(keeper, hook)(None, None)


def test_a_training_is_divided_into_waiting_steps_and_validation() -> None:
    clock, ticks = Clock(), Ticks()
    walk(
        TimeKeeper(clock, ticks),
        ticks,
        (100, "on_train_start"),
        (1, "on_train_batch_start"),
        (5, "on_train_batch_end"),
        (2, "on_train_batch_start"),
        (5, "on_train_batch_end"),
        (50, "on_validation_start"),  # the end of an epoch belongs to no part
        (3, "on_validation_batch_start"),
        (7, "on_validation_batch_end"),
        (0.5, "on_validation_end"),
    )
    assert clock.now() == {"data": 6.0, "training": 10.0, "judging": 7.5}


def test_a_prediction_is_waiting_and_judging() -> None:
    clock, ticks = Clock(), Ticks()
    keeper = TimeKeeper(clock, ticks)
    walk(keeper, ticks, (9, "on_predict_start"), (1, "on_predict_batch_start"), (4, "on_predict_batch_end"))
    assert clock.now() == {"data": 1.0, "training": 0.0, "judging": 4.0}


def test_nothing_is_said_of_short_work_and_little_of_long_work() -> None:
    said: list[str] = []
    ticks = Ticks()
    left = TimeLeft("baseline", 1000, every=30, say=said.append, ticks=ticks)
    for done in range(1, 1000):
        ticks.now = done * 0.2
        left.update(done)
    assert len(said) == 6  # 200 s
    assert said[0] == "baseline: 150 of 1,000, 0:00:30 gone, about 0:02:50 left"


@pytest.mark.parametrize(("total", "done"), [(10, 0), (10, 10)])
def test_nothing_is_said_before_the_first_unit_and_after_the_last(total: int, done: int) -> None:
    said: list[str] = []
    ticks = Ticks()
    left = TimeLeft("x", total, every=1, say=said.append, ticks=ticks)
    ticks.now = 100.0
    left.update(done)
    assert said == []


def test_without_a_total_only_what_is_done_is_said() -> None:
    said: list[str] = []
    ticks = Ticks()
    left = TimeLeft("x", None, every=1, say=said.append, ticks=ticks)
    ticks.now = 61.0
    left.update(7)
    assert said == ["x: 7, 0:01:01 gone"]


def test_a_stage_without_a_bar_tells_the_time_left(monkeypatch: Any, capfd: Any) -> None:
    monkeypatch.setattr(TimeLeft.__init__, "__defaults__", (0.0, None, TimeLeft.__init__.__defaults__[2]))
    trainer: Any = SimpleNamespace(is_global_zero=True, num_training_batches=2, max_epochs=2)
    progress = StageProgress("impair", shown=False)
    progress.on_train_start(trainer, None)  # type: ignore[arg-type]
    for _ in range(4):
        progress.on_train_batch_end()
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["impair: 1 of 4", "impair: 2 of 4", "impair: 3 of 4"]
    assert all(line.endswith("left") for line in lines)


def test_progress_and_keeper_can_be_sent_to_another_process() -> None:
    progress = StageProgress("impair", shown=False)
    progress.lines = TimeLeft("impair", 3)
    assert pickle.loads(pickle.dumps(progress)).lines is None
    assert pickle.loads(pickle.dumps(TimeKeeper(Clock()))).clock.now() == Clock().now()
