"""The modules under a real Trainer: what may change, what stays in which mode, and what a checkpoint holds."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from biasmask.errors import MethodError
from biasmask.models.image_classifier import backbone_parameters, create_network, head_of
from biasmask.modules.bias_mask import BiasMaskModule
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import ClassifierModule, Learning
from biasmask.pipeline.stages import expected_warnings

LOSS = {"criterion": "equalized_odds"}


def hyper(backbone: str = "test_resnet") -> dict[str, Any]:
    return {
        "backbone": backbone, "image_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "num_outputs": 1, "model_args": {},
        "channels_last": False,
    }  # fmt: skip


def network(backbone: str = "test_resnet") -> torch.nn.Module:
    torch.manual_seed(0)
    net = create_network(backbone, 1, 32)
    for parameter in net.parameters():  # untrained timm nets begin with norm weights of 0, which stop every gradient
        torch.nn.init.normal_(parameter, 0.05, 0.1)
    return net


def batches(count: int = 5, rows: int = 8) -> Any:
    generator = torch.Generator().manual_seed(1)
    number = torch.arange(rows)
    found = [
        {
            "image": torch.randint(0, 256, (rows, 3, 32, 32), generator=generator, dtype=torch.uint8),
            "target": number % 2,
            "group": {"sex": number // 2 % 2},
            "row": number + rows * index,
        }
        for index in range(count)
    ]
    return DataLoader(found, batch_size=None)  # type: ignore[arg-type]


def editing(part: str, net: torch.nn.Module, **changes: Any) -> Editing:
    generator = torch.Generator().manual_seed(2)
    mask = {name: torch.rand(p.shape, generator=generator) < 0.5 for name, p in backbone_parameters(net).items()}
    settings: dict[str, Any] = {
        "task_weight": 1.0, "bias_weight": 1.0, "anchor_weight": 0.0, "bias_loss": LOSS, "mask": mask if part == "mask" else None,
    }  # fmt: skip
    return Editing(part, "sex", 2, **{**settings, **changes})


def fit(module: lightning.LightningModule, epochs: int = 4, train: Any = None, **settings: Any) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, **settings,
    )  # fmt: skip
    with expected_warnings():
        trainer.fit(module, train or batches(), None if settings.get("limit_val_batches") == 0 else batches(2))
    return trainer


OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=0.1),
    "Adam": partial(torch.optim.Adam, lr=0.01, weight_decay=0.1),
    "AdamW": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
}


CASES = [("mask", backbone, optimizer) for backbone in ("test_resnet", "test_vit") for optimizer in OPTIMIZERS]


@pytest.mark.parametrize(
    ("part", "backbone", "optimizer"),
    [
        *CASES,
        ("head", "test_vit", "SGD"),
        ("head", "test_resnet", "AdamW"),
        ("backbone", "test_resnet", "SGD"),
        ("all", "test_resnet", "SGD"),
    ],
)
def test_twenty_steps_change_the_part_alone(part: str, backbone: str, optimizer: str) -> None:
    net = network(backbone)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    module = BMFTModule(hyper(backbone), net, Learning(OPTIMIZERS[optimizer]), editing(part, net))
    editable = module.editable()
    assert fit(module).global_step == 20
    after = net.state_dict()
    for name, old in before.items():
        inside = editable.get(name, torch.zeros_like(old, dtype=torch.bool))
        assert old[~inside].numpy().tobytes() == after[name][~inside].numpy().tobytes(), name
        if inside.any() and name != "head.bias":
            assert not torch.equal(old, after[name]), f"{name} was to be edited"


def test_a_step_after_a_restart_of_the_optimizer_stays_local() -> None:
    """Stage after stage on one network: the second fit starts from the first one's weights."""
    net = network()
    settings = editing("mask", net)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for _ in range(2):
        net.train()
        fit(BMFTModule(hyper(), net, Learning(OPTIMIZERS["SGD"]), settings), epochs=2)
    mask = settings.mask or {}
    for name, old in before.items():
        inside = mask.get(name, torch.zeros_like(old, dtype=torch.bool))
        assert torch.equal(old[~inside], net.state_dict()[name][~inside])


@pytest.mark.parametrize("statistics", ["frozen", "adapt"])
def test_norm_statistics_and_modes(statistics: str) -> None:
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    module = BMFTModule(hyper(), net, Learning(OPTIMIZERS["SGD"]), editing("none", net, norm_statistics=statistics))
    fit(module, epochs=1)
    moved = {name for name, old in before.items() if not torch.equal(old, net.state_dict()[name])}
    assert bool(moved) == (statistics == "adapt")
    assert all("running" in name or "num_batches" in name for name in moved)


def test_batches_without_a_defined_gap_are_counted() -> None:
    """One group alone: no gap, no gradient, and the weights stay as they are."""
    net = network()
    learning = Learning(partial(torch.optim.SGD, lr=0.1))
    module = BMFTModule(hyper(), net, learning, editing("mask", net, task_weight=0.0))
    loader = batches()
    for batch in loader:
        batch["group"]["sex"].zero_()
    before = {name: p.clone() for name, p in net.named_parameters()}
    fit(module, 1, loader)
    assert int(module.undefined_batches) == 5
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters())


def test_a_mask_of_another_network_is_refused() -> None:
    net = network()
    module = BMFTModule(hyper(), net, Learning(OPTIMIZERS["SGD"]), editing("mask", network("test_vit")))
    with pytest.raises(MethodError, match="made for another network"):
        module.editable()


def test_lightnings_own_checkpoint_reloads(tmp_path: Path) -> None:
    module = ClassifierModule(**hyper(), network=network(), learning=Learning(OPTIMIZERS["SGD"]))
    fit(module, epochs=1).save_checkpoint(tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)
    again = ClassifierModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), module.eval()(images))


def test_views_depend_on_seed_epoch_and_step_alone() -> None:
    learning = Learning(OPTIMIZERS["SGD"], augment={"horizontal_flip": 0.5}, seed=3)
    states = []
    for _ in range(2):
        torch.manual_seed(torch.seed() % 2**31)
        module = ClassifierModule(**hyper(), network=network(), learning=learning)
        fit(module, epochs=2)
        states.append({name: tensor.clone() for name, tensor in module.net.state_dict().items()})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("kind", ["squared_gradient", "abs_gradient"])
def test_importances_are_the_mean_over_batches(kind: str) -> None:
    """Beside a plain loop: one backward for each loss and batch."""
    from biasmask.methods.losses import bias_loss, class_balanced_bce

    classifier = ClassifierModule(**hyper(), network=network())
    module = BiasMaskModule(classifier, {"sex": 2}, LOSS, "none", importance=kind)
    fit(module, epochs=1, limit_val_batches=0)
    found = module.importances()
    classifier.eval()
    parameters = backbone_parameters(classifier.net)
    expected = {loss: {name: torch.zeros_like(p) for name, p in parameters.items()} for loss in ("bias", "task")}
    for batch in batches():
        logits = classifier(batch["image"])
        losses = {
            "bias": bias_loss(logits, batch["target"], batch["group"]["sex"], 2, **LOSS).value,
            "task": class_balanced_bce(logits, batch["target"], "none"),
        }
        for loss, value in losses.items():
            gradients = torch.autograd.grad(value, list(parameters.values()), retain_graph=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                expected[loss][name] += (gradient.square() if kind == "squared_gradient" else gradient.abs()) / 5
    for loss in expected:
        for name in parameters:
            torch.testing.assert_close(found[loss][name], expected[loss][name], rtol=1e-4, atol=1e-12)
    assert head_of(classifier.net)[0] not in {name.rpartition(".")[0] for name in found["bias"]}


def test_the_walk_changes_nothing() -> None:
    classifier = ClassifierModule(**hyper(), network=network())
    before = {name: tensor.clone() for name, tensor in classifier.net.state_dict().items()}
    fit(BiasMaskModule(classifier, {"sex": 2}, LOSS, "none"), epochs=1, limit_val_batches=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.net.state_dict().items())


def test_sums_go_from_a_worker_to_its_caller_and_are_given_out_once() -> None:
    """A spawning strategy hands back a state dict; afterwards the module holds no sums, as its Trainer outlives the walk."""
    module, caller = (BiasMaskModule(ClassifierModule(**hyper(), network=network()), {"sex": 2}, LOSS, "none") for _ in range(2))
    with pytest.raises(MethodError, match="the walk wasn't done"):
        caller.importances()
    fit(module, epochs=1, limit_val_batches=0)
    caller.load_state_dict(module.state_dict())
    here, there = module.importances(), caller.importances()
    assert all(torch.equal(here[loss][name], there[loss][name]) for loss in here for name in here[loss])
    assert not module.sums.state and sum(len(getattr(module, f"{loss}_sum")) for loss in here) == 0
    with pytest.raises(MethodError, match="taken already"):
        module.importances()
