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
def copy_of_repository(tmp_path: Path, warm_python: Path) -> Path:
    """Sources, settings and tests, with an empty logs/ of their own, and bin/python."""
    (tmp_path / "bin").symlink_to(warm_python.parent)
    for name in ("src", "configs", "scripts", "tests", "docs", "notebooks"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Makefile", "README.md", "requirements.txt", "mkdocs.yml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def shell(text: str, folder: Path) -> str:
    """Run commands as a person would who has activated the environment, whose `python` is the warm one here."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["PYTEST_ADDOPTS"] = "-W ignore::pytest.PytestAssertRewriteWarning"  # a plugin's package is imported already
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


def follow(page: Path, folder: Path, heading: str = "", only: str = "") -> None:
    """All fences below a heading, in order; the commands of bash fences share the page's variables.

    Args:
        page: which page.
        folder: the copy.
        heading: a heading of level two; "" = the whole page.
        only: of bash fences, only the commands with this word.
    """
    text = page.read_text(encoding="utf-8")
    begin = text.index(f"## {heading}\n") if heading else 0
    end = text.find("\n## ", begin + 1) if heading else -1
    first, last = text.count("\n", 0, begin), text.count("\n", 0, end) if end >= 0 else text.count("\n")
    variables = ""
    for fence in fences(page):
        if fence.language == "bash":
            if first < fence.line <= last:
                shell(variables + "\n".join(line for line in fence.text.splitlines() if only in line), folder)
            variables += "".join(f"{line}\n" for line in fence.text.splitlines() if re.match(r"(export )?[A-Z_]+=", line))
        elif not first < fence.line <= last:
            continue
        elif fence.file:
            write(fence, page, folder)
            if "/" not in fence.file:
                shell(f"python {fence.file}", folder)
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


def test_a_table_of_ones_own_from_the_first_picture_to_the_delta(copy_of_repository: Path) -> None:
    """docs/own_data.md: an example is made, trained, debiased, handed on, its figures made again; then it is a data set."""
    folder = copy_of_repository
    follow(DOCS / "own_data.md", folder, "To try it")
    follow(DOCS / "own_data.md", folder, "Handing it on")
    remake = next(fence for fence in fences(DOCS / "run_folder.md") if fence.file == "remake.py")
    (folder / "remake.py").write_text(remake.text, encoding="utf-8")
    assert shell("python remake.py logs/mine", folder).count("all equal") == 3
    shell("mkdir -p data && cp -r mine data/clinic", folder)
    follow(DOCS / "add_data_set.md", folder)
    assert list((folder / "logs" / "runs").rglob("finished.json"))


@pytest.mark.parametrize(("page", "heading"), [("selection", "A rule of your own"), ("add_text", "")])
def test_a_rule_and_a_text_method_pass_the_tests_that_find_them(page: str, heading: str, copy_of_repository: Path) -> None:
    follow(DOCS / f"{page}.md", copy_of_repository, heading, only="pytest")
