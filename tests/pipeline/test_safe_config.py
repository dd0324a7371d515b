"""A configuration calls known packages only; what a run folder stores is somebody else's and may call data sources alone."""

from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from biasmask.errors import ConfigError
from biasmask.pipeline.safe_config import SOURCES, require_known_targets, require_stored_sources
from tests.conftest import CONFIGS, RENDERED


def targets(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [name for value in node.values() for name in targets(value)]
    return [name for value in node for name in targets(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_no_shipped_file_needs_a_permission(file: Path) -> None:
    node = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    if "hydra" not in file.relative_to(CONFIGS).parts:  # Hydra's own launchers and sweepers are not of a run
        require_known_targets(node, [])
    if file.parent.name == "data":
        assert set(targets(node)) <= set(SOURCES)


@pytest.mark.parametrize(
    "node",
    [
        {"a": {"_target_": "os.system"}},
        {"a": [{"b": {"_target_": "subprocess.run", "_partial_": True}}]},
        {"_target_": "torch.hub.load"},
        {"_target_": "torch.load"},
        {"_target_": "builtins.eval"},
        {"_target_": "biasmask_evil.run"},
        {"_target_": "torch.optimal.SGD"},
    ],
)
def test_other_packages_are_refused_with_key_and_name(node: object) -> None:
    with pytest.raises(ConfigError, match=r"_target_ is [\w.]+, which is none of .* allow_targets=\["):
        require_known_targets(node, [])


def test_an_interpolated_name_is_looked_up() -> None:
    node = OmegaConf.create({"name": "os.system", "a": {"_target_": "${name}"}})
    with pytest.raises(ConfigError, match=r"a\._target_ is os\.system"):
        require_known_targets(node, [])


def test_allowed_is_a_package_a_module_or_a_name() -> None:
    for allowed in ("mine", "mine.data", "mine.data.Source"):
        require_known_targets({"_target_": "mine.data.Source"}, [allowed])
    with pytest.raises(ConfigError):
        require_known_targets({"_target_": "mine2.data.Source"}, ["mine"])


def test_a_stored_node_may_not_call_our_own_writers_nor_read_the_environment() -> None:
    with pytest.raises(ConfigError, match="none of the data sources"):
        require_stored_sources({"source": {"_target_": "biasmask.files.write_atomically"}}, [], "x")
    with pytest.raises(ConfigError, match=r"x: source\.root is .* holds no interpolation"):
        require_stored_sources({"source": {"_target_": SOURCES[0], "root": "${oc.env:HOME}"}}, [], "x")


def test_training_refuses_before_anything_is_called(runner, tmp_path: Path) -> None:
    mark = tmp_path / "called"
    with pytest.raises(ConfigError, match=r"callbacks\.evil\._target_ is pathlib\.Path\.touch"):
        runner.train(*RENDERED, f"+callbacks.evil={{_target_: pathlib.Path.touch, self: {mark}}}")
    assert not mark.exists()


def test_evaluation_refuses_a_checkpoint_that_would_call_something(runner, tmp_path: Path) -> None:
    run = runner.train(*RENDERED)
    file = run.folder / "checkpoints" / "base.ckpt"
    content = torch.load(file, weights_only=True)
    content["biasmask"]["data"]["source"]["_target_"] = "os.system"
    torch.save(content, file)
    with pytest.raises(ConfigError, match=r"the checkpoint of .*: source\._target_ is os\.system"):
        runner.evaluate(run.folder)
