"""Run folders that the report's tests read; written once, copied by whoever changes one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import write_fake_run


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("full") / "run")


@pytest.fixture(scope="session")
def two_sets_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("two") / "run", test_sets=("test", "fitzpatrick17k"), n=400)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("hostile") / "run", hostile=True, n=400)


@pytest.fixture(scope="session")
def collapsed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("collapsed") / "run", collapsed=True, n=400)


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a run folder, so that a test may spoil it."""

    def copy(run_dir: Path) -> Path:
        return Path(shutil.copytree(run_dir, tmp_path / "copy"))

    return copy
