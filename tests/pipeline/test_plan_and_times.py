"""What a run says before it begins, and where its time went."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from biasmask.pipeline.plan import Plan, Times
from biasmask.report.run_folder import load_run_folder
from biasmask.report.time_table import PARTS, time_rows
from tests.conftest import RENDERED, Runner


class FakeState(list[str]):
    """A model that remembers which stages it came through."""

    weights: ClassVar[dict[str, Any]] = {}


class FakeStage:
    """A stage that is in the store, or isn't."""

    def __init__(self, stored: bool, epochs: int | None = None):
        self.is_stored, self.epochs = stored, epochs

    def stored(self, _state: Any, _context: Any) -> bool:
        return self.is_stored

    def run(self, name: str, state: FakeState, _context: Any) -> FakeState:
        return FakeState([*state, name])


def plan_of(capfd: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("plan: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ({"a": FakeStage(True), "b": FakeStage(True)}, "plan: found: a, b; then judging"),
        ({"a": FakeStage(True), "b": FakeStage(False, 1), "c": FakeStage(True, 3)},
         "plan: found: a; to do: b (1 epoch), c (3 epochs); then judging"),
        ({"baseline": FakeStage(False)}, "plan: to do: baseline (8 epochs); then judging"),
        ({}, "plan: judging"),
    ],
    ids=["all", "some", "none", "nothing"],
)  # fmt: skip
def test_the_plan_tells_what_is_in_the_store_once(stages: dict[str, Any], told: str, capfd: Any) -> None:
    if "baseline" in stages:
        stages["baseline"].epochs = 8
    plan = Plan(stages, "judging", 8, None, Console(width=200), Times())  # type: ignore[arg-type]
    state = FakeState()
    for name in stages:
        state = plan.run(name, state)
    plan.tell()
    assert state == list(stages)
    assert plan_of(capfd) == told


def test_plan_and_times_of_runs(runner: Runner, tmp_path: Path, capfd: Any) -> None:
    store = tmp_path / "store"
    run = runner.rendered(store=store)
    shown = capfd.readouterr().out
    assert "plan: to do: baseline (1 epoch), locate, impair (1 epoch), repair (2 epochs); then judging on val, test" in shown
    assert "Where the time went" in shown
    times = run.read("run.json")["times"]
    assert list(times["stages"]) == ["baseline", "locate", "impair", "repair"]
    known = times["data"] + times["judging"] + sum(times["stages"].values())
    assert 0.5 * times["total"] < known <= times["total"] + 0.01
    for stage in run.read("stages.json"):
        assert set(stage["spent"]) == set(PARTS)
        assert stage["spent"]["training"] > 0, stage["stage"]
        assert sum(stage["spent"].values()) <= stage["seconds"] + 0.01
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Where the time went" in page and "in all, until the report" in page
    again = runner.rendered("debias.repair.epochs=1", store=store)
    assert plan_of(capfd) == "plan: found: baseline, locate, impair; to do: repair (1 epoch); then judging on val, test"
    rows = {row.name: row for row in time_rows(load_run_folder(again.folder))}
    assert rows["baseline (reused)"].parts == ("", "", "") != rows["repair"].parts


def test_your_model_is_told_as_yours(runner: Runner, trained_net: Any, tmp_path: Path, capfd: Any) -> None:
    yours = ["debias=thresholds", f"model.ckpt_path={trained_net()}"]
    runner.train("experiment=bmft_rendered", *RENDERED, *yours, store=tmp_path / "store")
    assert plan_of(capfd) == "plan: found: baseline (yours); to do: thresholds; then judging on val, test"


def test_times_of_a_text_run(runner: Runner, tmp_path: Path, capfd: Any) -> None:
    run = runner.text(tmp_path, "debias=text/block_pruning", "debias.epochs=1", store=tmp_path / "store")
    assert plan_of(capfd) == "plan: to do: prune (1 epoch); then judging"
    assert run.read("run.json")["times"]["stages"].keys() == {"prune"}
    assert run.stage("prune")["spent"]["training"] > 0
    assert "Where the time went" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_folder_that_tells_no_times_has_no_table(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"models": {"base": {}}, "difference": {}}', encoding="utf-8")
    assert time_rows(load_run_folder(tmp_path)) == []
