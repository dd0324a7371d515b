"""The warm `python` of slow tests does what the interpreter does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it imports everything once

TOLD = """
import os, sys
import json as one_of_pythons_own
print(__name__, sys.argv, os.getcwd(), os.environ["OWN"], sys.stdin.read(), sys.path[0], "biasmask" in sys.modules)
print("to the other", file=sys.stderr)
sys.exit({end})
"""


@pytest.mark.parametrize("end", ["0", "3", "", "'a reason'", "None"])
def test_it_gives_what_the_interpreter_gives(end: str, tmp_path: Path, warm_python: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "told.py").write_text(TOLD.format(end=end))
    environment = {"OWN": "x y", "PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "own")}
    for words in (["own/told.py", "a b", "--c=1"], ["-m", "told", "-x"]):
        keys = {"cwd": tmp_path, "env": environment, "input": "typed", "capture_output": True, "text": True}
        pythons = (sys.executable, warm_python)
        cold, warm = (subprocess.run([python, *words], timeout=60, check=False, **keys) for python in pythons)
        assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)
        assert "typed" in warm.stdout


def test_an_uncaught_error_ends_in_a_traceback_and_1(tmp_path: Path, warm_python: Path) -> None:
    (tmp_path / "broken.py").write_text("import torch\nprint(torch.ones(2).sum().item())\n1 / 0\n")
    done = subprocess.run([warm_python, tmp_path / "broken.py"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "2.0\n")
    assert done.stderr.startswith("Traceback") and done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_what_it_started_ends_with_its_caller(tmp_path: Path, warm_python: Path) -> None:
    (tmp_path / "waits.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([warm_python, tmp_path / "waits.py"], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        started = int(caller.stdout.readline())
        caller.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{started}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{started}").exists()
