"""Locate, impair and repair on the user's own table and own checkpoint, for every kind of timm architecture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file

from tests.conftest import FinishedRun, Runner, UserTable

SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4}
NETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "cnn": ("test_resnet", {}, 32),
    "vit": ("test_vit", {"img_size": 32}, 32),
    "convnext": ("test_convnext", {}, 64),
    "efficientnet": ("test_efficientnet", {}, 64),
    "swin": ("swin_tiny_patch4_window7_224", {**SWIN, "img_size": 32}, 32),
}


def yaml_of(args: dict[str, Any]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in args.items() if key != "img_size") + "}"


def debias(
    runner: Runner, table: UserTable, checkpoint: Path, backbone: str, args: dict[str, Any], size: int, *more: str, **where: Any
) -> FinishedRun:
    return runner.train(
        *table.overrides,
        f"model.ckpt_path={checkpoint}",
        f"model.backbone={backbone}",
        f"+model.args={yaml_of(args)}",
        f"data.image_size={size}",
        "debias.impair.guard=null",
        "debias.impair.optimizer.lr=0.01",
        *more,
        **where,
    )


@pytest.mark.parametrize("kind", NETS)
def test_users_checkpoint_of_each_architecture(
    kind: str, runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    backbone, args, size = NETS[kind]
    checkpoint = trained_net(backbone, **args)
    run = debias(runner, user_table, checkpoint, backbone, args, size)
    assert [r["stage"] for r in run.read("stages.json")] == ["baseline", "locate", "impair", "repair"]
    assert run.stage("baseline")["notes"] == ["your checkpoint"]
    impair, repair = run.stage("impair"), run.stage("repair")
    assert impair["edited"] > 0 and impair["changed_outside"] == 0 and repair["changed_outside"] == 0
    check_locality(run, torch.load(checkpoint, weights_only=True))
    check_exported_net(run, backbone, args, size)


def check_locality(run: FinishedRun, before: dict[str, torch.Tensor]) -> None:
    """Outside of mask and head every tensor of the state dict, norm statistics included, is as it came."""
    mask = load_file(run.folder / "mask.safetensors")
    after = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    head = {name for name in before if name not in mask and name.endswith(("fc.weight", "fc.bias", "head.weight", "head.bias"))}
    head |= {name for name in before if name.startswith("classifier.")}
    changed = 0
    for name, old in before.items():
        if name in head:
            continue
        inside = mask.get(name, torch.zeros_like(old, dtype=torch.bool))
        assert torch.equal(after[name][~inside], old[~inside]), f"{name} moved outside of the mask"
        changed += int((after[name] != old).sum())
    assert changed > 0


def check_exported_net(run: FinishedRun, backbone: str, args: dict[str, Any], size: int) -> None:
    """The exported weights load strictly with timm alone, and give the logits of our checkpoint."""
    from biasmask.pipeline.checkpoints import load_model

    state = load_model(run.folder / "checkpoints" / "debiased.ckpt")[0]
    alone = timm.create_model(backbone, num_classes=1, **args).eval()
    alone.load_state_dict(torch.load(run.folder / "debiased_timm.pt", weights_only=True))
    images = torch.randint(0, 256, (4, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    module = state.classifier().eval()
    with torch.no_grad():
        assert torch.equal(alone(module.normalized(images)).flatten(), module(images))


WRAPPINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": lambda state: state,
    "module": lambda state: {f"module.{k}": v for k, v in state.items()},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "state_dict_of_model": lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "lr": 0.1},
    "compiled_ddp": lambda state: {"model": {f"module._orig_mod.{k}": v for k, v in state.items()}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_users_file_forms_are_the_same_model(wrapping: str, trained_net: Callable[..., Path]) -> None:
    from biasmask.pipeline.baseline import ModelConfig, load_users_checkpoint

    plain = load_users_checkpoint(ModelConfig("test_resnet", ckpt_path=str(trained_net())))
    path = trained_net(wrap=WRAPPINGS[wrapping], name="wrapped.pt")
    assert load_users_checkpoint(ModelConfig("test_resnet", ckpt_path=str(path))).key == plain.key


def test_safetensors_and_two_outputs(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> None:
    checkpoint = trained_net("test_vit", 2, name="mine.safetensors", img_size=32)
    run = debias(runner, user_table, checkpoint, "test_vit", {}, 32)
    after = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    assert after["head.weight"].shape[0] == 2
    check_locality(run, load_file(checkpoint))


def test_two_outputs_are_the_softmax(trained_net: Callable[..., Path]) -> None:
    from biasmask.pipeline.baseline import ModelConfig, load_users_checkpoint

    path = trained_net(outputs=2)
    module = load_users_checkpoint(ModelConfig("test_resnet", ckpt_path=str(path))).classifier().eval()
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = module.net(module.normalized(images)).softmax(1)[:, 1]
        torch.testing.assert_close(torch.sigmoid(module(images)), expected)


def test_checkpoint_of_ours_as_the_users_checkpoint(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    """base.ckpt knows its architecture: `model.backbone` isn't repeated, and the figures of base are those of its run."""
    first = debias(runner, user_table, trained_net("test_vit", img_size=32), "test_vit", {}, 32)
    second = runner.train(
        *user_table.overrides, f"model.ckpt_path={first.folder / 'checkpoints' / 'base.ckpt'}", "debias=last_layer",
        "debias.repair.epochs=1",
    )  # fmt: skip
    assert second.read("run.json")["backbone"] == "test_vit"
    assert second.read("metrics.json")["models"]["base"] == first.read("metrics.json")["models"]["base"]
