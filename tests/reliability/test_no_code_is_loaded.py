"""Files of others hold data, never code: no reader that unpickles, and model folders whose code stays where it is."""

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from biasmask.errors import CheckpointError
from biasmask.models.text_encoder import load_encoder
from tests.conftest import REPOSITORY
from tests.text import write_bert

UNPICKLERS = ("pickle", "joblib", "marshal", "dill", "shelve", "cloudpickle")
NEVER = ("read_pickle", "load_pickle", "Unpickler", "full_load", "unsafe_load", "load_all", "load_state_dict_from_url")


def calls(path: Path) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call with the name before the last dot and the last name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, ast.unparse(node.func.value), node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, "", node.func.id


def unsafe(path: Path) -> list[str]:
    found, name = [], str(path.relative_to(REPOSITORY))
    for call, owner, last in calls(path):
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        given = [*map(ast.unparse, call.args), *words.values()]
        bad = (
            last in NEVER
            or (owner in UNPICKLERS and last in ("load", "loads", "open"))
            or (owner == "" and last in ("eval", "exec"))  # net.eval() is a mode
            or (owner == "torch" and last == "load" and words.get("weights_only") != "True")
            or (owner in ("np", "numpy") and last == "load" and words.get("allow_pickle", "False") != "False")
            or (owner == "yaml" and last == "load" and not any("SafeLoader" in word for word in given))
        )
        if bad:
            found.append(f"{name}:{call.lineno}: {ast.unparse(call)[:80]}")
    return found


def test_no_source_reads_what_could_run_code() -> None:
    files = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "scripts").rglob("*.py")]
    assert len(files) > 100
    assert [line for path in files for line in unsafe(path)] == []


def test_the_search_finds_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.reliability.test_no_code_is_loaded.REPOSITORY", tmp_path)
    (tmp_path / "a.py").write_text("torch.load(p)\nnp.load(p, allow_pickle=True)\npickle.loads(b)\nyaml.load(t)\nnet.eval()\n")
    assert len(unsafe(tmp_path / "a.py")) == 4


class Spring:
    """What a malicious pickle holds: it writes a file when it is loaded."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_the_weights_of_a_model_folder_run_nothing(form: str, tmp_path: Path) -> None:
    folder, mark = write_bert(tmp_path / "bert"), tmp_path / "sprung"
    (folder / "model.safetensors").unlink()
    if form == "torch":
        torch.save({"weight": Spring(mark)}, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Spring(mark)}))
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_encoder(str(folder))
    assert not mark.exists()


def test_the_code_of_a_model_folder_is_not_run(tmp_path: Path) -> None:
    folder, mark = write_bert(tmp_path / "bert"), tmp_path / "sprung"
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Config: pass\nclass Model: pass\n", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_encoder(str(folder))
    assert not mark.exists()
