"""A few kills at random moments; `benchmarks/kill_runs.py` does it fifty times (docs/reliability.md)."""

from pathlib import Path

import pytest

from tests.reliability.killed_runs import kill_at_random


@pytest.mark.slow
@pytest.mark.parametrize("family", ["image", "text"])
def test_a_killed_run_ends_as_an_undisturbed_one(family: str, tmp_path: Path) -> None:
    record = kill_at_random(family, kills=4, seed=1, home=tmp_path)
    assert record.faults == []
    assert record.kills == 4 and sum(record.stages_done.values()) == 4
