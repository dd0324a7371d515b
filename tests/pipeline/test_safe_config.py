"""A configuration calls known packages only; what a run folder stores is somebody else's and may call data sources alone."""

from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from biasmask.errors import CheckpointError, ConfigError
from biasmask.models.stored_model import stored_hyper
from biasmask.pipeline.safe_config import SOURCES, allowed_targets, require_known_targets, require_stored_sources
from tests.conftest import CONFIGS, RENDERED, Runner, compose_config


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
        {"_target_": "biasmask.files.os.system"},
        {"_target_": "lightning.pytorch.callbacks.callback.torch.load"},
        {"_target_": "torch.nn.modules.module.torch.load"},
        {"_target_": "biasmask.data.own_table.own_table.__class__"},
        {"_target_": "biasmask.data.table.TableSource.__init__.__globals__.clear"},
        {"_target_": "lightning.pytorch.LightningModule.load_from_checkpoint"},
        {"_target_": "lightning.pytorch.callbacks.Callback.__subclasses__"},
        {"_target_": "biasmask.files.write_atomically"},
        {"_target_": "biasmask.data.unpack.unpack"},
        {"_target_": "biasmask.models.weights.pickle.loads"},
        {"_target_": ""},
    ],
)
def test_other_packages_are_refused_with_key_and_name(node: object) -> None:
    with pytest.raises(ConfigError, match=r"_target_ is [\w.]*, which is no class of .* allow_targets=\["):
        require_known_targets(node, [])


def test_an_interpolated_name_is_looked_up() -> None:
    node = OmegaConf.create({"name": "os.system", "a": {"_target_": "${name}"}})
    with pytest.raises(ConfigError, match=r"a\._target_ is os\.system"):
        require_known_targets(node, [])


@pytest.mark.parametrize("maker", ["oc.decode", "oc.create"])
def test_a_node_that_an_interpolation_makes_is_looked_at(maker: str) -> None:
    node = OmegaConf.create({"a": "${" + maker + ":'{_target_: os.system}'}"})
    with pytest.raises(ConfigError, match=r"a\._target_ is os\.system"):
        require_known_targets(node, [])


@pytest.mark.parametrize(
    "name", ["torch.optim.AdamW", "lightning.Trainer", "biasmask.pipeline.dfr.RefitHead", "lightning.pytorch.callbacks.Timer",
             "transformers.optimization.get_linear_schedule_with_warmup", "sklearn.linear_model.LogisticRegression"],
)  # fmt: skip
def test_classes_of_the_packages_in_use_need_no_leave(name: str) -> None:
    require_known_targets({"_target_": name}, [])


def test_a_file_cannot_give_leave_to_itself(runner: Runner) -> None:
    typed = compose_config("train", ["allow_targets=[mine]"], runner.home)
    assert allowed_targets(typed) == ["mine"]
    written = compose_config("train", [], runner.home)
    written.allow_targets = ["os"]
    with pytest.raises(ConfigError, match=r"allow_targets=\[os\] stands in a file.*type it on the command line"):
        allowed_targets(written)


def test_allowed_is_a_package_a_module_or_a_name() -> None:
    for allowed in ("mine", "mine.data", "mine.data.Source"):
        require_known_targets({"_target_": "mine.data.Source"}, [allowed])
    with pytest.raises(ConfigError):
        require_known_targets({"_target_": "mine2.data.Source"}, ["mine"])


def test_a_stored_node_may_not_call_our_own_writers_nor_read_the_environment() -> None:
    for name in ("biasmask.files.write_atomically", f"{SOURCES[0]}.__class__", f"{SOURCES[1]}.__code__.__class__"):
        with pytest.raises(ConfigError, match="none of the data sources"):
            require_stored_sources({"source": {"_target_": name}}, [], "x")
    with pytest.raises(ConfigError, match=r"x: source\.root is .* holds no interpolation"):
        require_stored_sources({"source": {"_target_": SOURCES[0], "root": "${oc.env:HOME}"}}, [], "x")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_args": {"checkpoint_path": "other.pth"}}, "model_args.checkpoint_path would make timm load something"),
        ({"model_args": {"pretrained": True}}, "model_args.pretrained would make timm load something"),
        ({"image_size": 10**9}, "image_size is '1000000000'"),
        ({"num_outputs": True}, "num_outputs is 'True'"),
        ({"mean": [0.5]}, "mean is"),
        ({"backbone": ["resnet18"]}, "backbone is"),
    ],
)
def test_a_checkpoint_may_not_make_timm_load_nor_hold_nonsense(change: dict[str, object], message: str) -> None:
    plain = {"backbone": "test_resnet", "image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "num_outputs": 1}
    hyper = {**plain, "model_args": None, "channels_last": False, **change}
    with pytest.raises(CheckpointError, match=f"hyper_parameters.{message}"):
        stored_hyper({"hyper_parameters": hyper}, "a.ckpt")


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
