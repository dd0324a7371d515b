"""The run folder and the store: claims, keys and what a person can read in them."""

import json
from pathlib import Path

import pytest

from biasmask.errors import StoreError
from biasmask.pipeline.run_folder import claimed, read_json
from biasmask.pipeline.store import ArtefactStore, hash_of
from tests.conftest import Runner


def test_the_same_configuration_may_come_back(tmp_path: Path) -> None:
    for _ in range(2):
        with claimed(tmp_path / "run", "a: 1\n"):
            assert (tmp_path / "run" / "config.yaml").read_text() == "a: 1\n"
    with pytest.raises(StoreError, match="another configuration"), claimed(tmp_path / "run", "a: 2\n"):
        pass
    assert (tmp_path / "run" / "config.yaml").read_text() == "a: 1\n"


def test_keys_depend_on_content_alone() -> None:
    assert hash_of({"a": 1, "b": {"c": 2}}) == hash_of({"b": {"c": 2}, "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})
    assert hash_of({"a": [1, 2]}) != hash_of({"a": [2, 1]})


def test_inputs_of_a_stage_can_be_read(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    folder, _ = store.obtain("baseline", "k" * 40, lambda f: None, {"seed": 1})
    assert json.loads((folder / "inputs.json").read_text()) == {"seed": 1}


def test_remains_of_a_killed_stage_are_not_read(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    final = store.folder("baseline", "k" * 40)
    building = final.with_name(f".{final.name}.building")
    building.mkdir(parents=True)
    (building / "weights").write_text("half")
    folder, reused = store.obtain("baseline", "k" * 40, lambda f: (f / "other").touch(), {})  # type: ignore[arg-type, return-value]
    assert not reused and not (folder / "weights").exists() and not building.exists()


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="run.json can't be read"):
        read_json(tmp_path / "run.json")


def test_what_is_told_of_a_run(runner: Runner) -> None:
    run = runner.rendered()
    about = run.read("run.json")
    assert about["group_names"] == {"skin_tone": ["light", "dark"]} or set(about["group_names"]["skin_tone"]) == {"light", "dark"}
    assert {"experiment", "method", "dataset", "attribute", "class_names", "backbone", "image_size", "seed", "final"} <= set(
        about
    )
    packages = (run.folder / "environment.txt").read_text()
    assert all(word in packages for word in ("biasmask", "python", "torch", "timm", "lightning"))
    history = run.read("history.json")
    assert {row["stage"] for row in history} == {"baseline", "impair", "repair"}
    assert {row["split"] for row in history} == {"train", "val"}
    assert not (run.folder / "logs").exists()


def test_the_objective_never_sees_the_test_split(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number a hyper-parameter search gets is made of validation rows."""
    from biasmask.pipeline import train_run

    seen: list[list[str]] = []
    original = train_run.compare
    monkeypatch.setattr(train_run, "compare", lambda m, d, splits, s: (seen.append(splits), original(m, d, splits, s))[1])  # type: ignore[func-returns-value]
    run = runner.rendered("debias=last_layer", "debias.repair.epochs=1")
    assert seen[-1] == ["val"] and run.objective is not None and run.objective >= 0
