"""Damaged files of every kind that others hand in: read, or one clear error. `benchmarks/fuzz.py` does it for minutes."""

import random
from pathlib import Path

import pytest

from tests.reliability.fuzz_targets import TARGETS, mutate, try_bytes


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert try_bytes(target, seeds[0], tmp_path)
    draw = random.Random(name)
    read = sum(try_bytes(target, mutate(draw.choice(seeds), draw), tmp_path) for _ in range(60))
    assert 0 <= read < 60
