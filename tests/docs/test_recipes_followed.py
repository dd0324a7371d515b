"""The recipes of docs/add_*.md and "To try it" of docs/own_data.md, followed to the letter in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.fences import Fence, fences

DOCS = REPOSITORY / "docs"
FOLLOWED = ("add_rival", "add_method", "add_attribute", "add_backbone", "add_metric")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def copy_of_repository(tmp_path: Path) -> Path:
    """Sources, settings and tests, with an empty logs/ of their own."""
    for name in ("src", "configs", "scripts", "tests", "docs", "notebooks"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Makefile", "README.md", "requirements.txt", "mkdocs.yml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def shell(text: str, folder: Path) -> str:
    """Run commands as a person would who has activated the environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(["bash", "-ec", text], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def write(fence: Fence, page: Path, folder: Path) -> None:
    """Do what the paragraph above a fence says: a new file, a piece at the end of one, or a line below a name in it."""
    assert fence.file is not None
    file = folder / fence.file
    above = page.read_text(encoding="utf-8").splitlines()[: fence.line - 1]
    within = re.search(rf"`{re.escape(fence.file)}`, in `(\w+)`", " ".join(above[-5:]))
    if within:
        text = file.read_text(encoding="utf-8")
        opened = re.search(rf"^{within[1]}\b.*[{{(\[]\n", text, re.MULTILINE)
        assert opened is not None, f"{fence.where}: {fence.file} has no {within[1]}"
        file.write_text(text[: opened.end()] + fence.text + text[opened.end() :], encoding="utf-8")
    elif file.exists():
        file.write_text(file.read_text(encoding="utf-8") + "\n\n" + fence.text, encoding="utf-8")
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(fence.text, encoding="utf-8")


def follow(page: Path, folder: Path, after: int = 0) -> None:
    """All fences from a line on, in order; the commands of all bash fences so far share their variables."""
    variables = ""
    for fence in fences(page):
        if fence.line < after:
            continue
        if fence.file:
            write(fence, page, folder)
        elif fence.language == "bash":
            shell(variables + fence.text, folder)
            variables += "".join(f"{line}\n" for line in fence.text.splitlines() if re.match(r"(export )?[A-Z_]+=", line))
        elif fence.language == "python" and not fence.unchecked:
            (folder / "typed.py").write_text(fence.text, encoding="utf-8")
            shell("python typed.py", folder)


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_recipe_works_as_it_stands(name: str, copy_of_repository: Path) -> None:
    follow(DOCS / f"{name}.md", copy_of_repository)
    runs = sorted((copy_of_repository / "logs" / "runs").rglob("finished.json"), key=lambda path: path.stat().st_mtime)
    assert runs, "no run ended"
    figures = json.loads((runs[-1].parent / "metrics.json").read_text(encoding="utf-8"))["models"]["base"]
    assert ("test/tnr/skin_tone=dark" in figures) == (name == "add_metric")
