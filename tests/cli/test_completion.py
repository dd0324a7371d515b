"""Shell completion: Hydra's own, driven as a shell does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CONFIGS, REPOSITORY


def query(line: str) -> list[str]:
    """What a shell is offered for a command line, in a process of its own."""
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    command = [sys.executable, "src/train.py", "-sc", "query=bash"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_experiments_are_completed() -> None:
    names = sorted(path.stem for path in CONFIGS.glob("experiment/*.yaml"))
    assert sorted(query("python src/train.py experiment=")) == [f"experiment={name}" for name in names]


def test_keys_of_the_chosen_method_are_completed() -> None:
    assert query("python src/train.py experiment=bmft debias.edit") == ["debias.edit_fraction="]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash isn't installed")
def test_the_installed_function_answers_in_bash(tmp_path: Path) -> None:
    """As in docs/command_line.md, with `python` on the path, which is what Hydra's function is bound to."""
    (tmp_path / "python").symlink_to(sys.executable)
    script = f"""
export PATH={tmp_path}:$PATH
eval "$({sys.executable} src/train.py -sc install=bash)"
complete -p python || exit 1
export COMP_LINE="python src/train.py experiment=bmft_h"
COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); COMP_CWORD=2
hydra_bash_completion; echo "${{COMPREPLY[@]}}"
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=REPOSITORY, env=environment, timeout=90, check=True
    )
    assert done.stdout.splitlines()[-1] == "experiment=bmft_ham10000"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish isn't installed")
def test_the_installed_function_answers_in_fish(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    script = f"""
set -x PATH {tmp_path} $PATH
python src/train.py --shell-completion install=fish | source
complete -C "python src/train.py experiment=bmft_h"
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        ["fish", "-c", script], capture_output=True, text=True, cwd=REPOSITORY, env=environment, timeout=90, check=True
    )
    assert "experiment=bmft_ham10000" in done.stdout.split()
