"""Pruning of a ViT under a real Trainer: only scores learn, the loss is what it says, the threshold follows its schedule."""

from functools import partial
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from biasmask.errors import ConfigError
from biasmask.methods.losses import anchor_loss, bias_loss, class_balanced_bce
from biasmask.methods.threshold_schedule import Schedule
from biasmask.models.image_classifier import create_network
from biasmask.models.pruner import Pruner
from biasmask.modules.bmft import Editing
from biasmask.modules.classifier import Learning
from biasmask.modules.image_pruning import ImagePruningModule, Pruning
from biasmask.pipeline.stages import expected_warnings

LOSS = {"criterion": "equalized_odds"}
HYPER: dict[str, Any] = {
    "backbone": "test_vit", "image_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "num_outputs": 1, "model_args": {},
    "channels_last": False,
}  # fmt: skip


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    net = create_network("test_vit", 1, 32)
    for parameter in net.parameters():
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


def module_of(
    lr: float = 0.05,
    penalty: float = 1.0,
    weights: tuple[float, float, float] = (1.0, 1.0, 0.0),
    schedule: Schedule | None = None,
    penalty_schedule: str = "constant",
    dropout: bool = False,
    **structure: Any,
) -> ImagePruningModule:
    net = network()
    pruner = Pruner(net, **{"structure": "head", "feed_forward": False, **structure})
    editing = Editing("scores", "sex", 2, *weights, LOSS, "frozen", dropout, base_logits=torch.linspace(-1, 1, 40))
    learning = Learning(partial(torch.optim.AdamW, lr=lr, weight_decay=0.1))
    pruning = Pruning(schedule or Schedule(final=0.1, cooldown=0.1), penalty, penalty_schedule)
    return ImagePruningModule(HYPER, net, learning, editing, pruner, pruning)


def fit(module: ImagePruningModule, epochs: int = 4, train: Any = None) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with expected_warnings():
        trainer.fit(module, train or batches(), batches(2))
    module.finish()
    return trainer


def test_twenty_steps_change_scores_alone() -> None:
    module = module_of(dropout=True)
    before = {name: tensor.clone() for name, tensor in module.net.state_dict().items()}
    assert fit(module).global_step == 20
    after = module.net.state_dict()
    assert before.keys() == after.keys()
    for name, old in before.items():
        assert old.numpy().tobytes() == after[name].numpy().tobytes(), name
    assert all(p.grad is None for p in module.net.parameters())
    assert all(scores.abs().max() > 0 for scores in module.pruner.parameters())


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 2.0, 0.25)])
def test_the_loss_is_the_sum_of_its_parts(weights: tuple[float, float, float]) -> None:
    module = module_of(penalty=3.0, weights=weights)
    values: list[float] = []
    step = module.training_step
    batch = next(iter(batches()))
    with torch.no_grad():  # all scores are 0: nothing is masked yet
        logits = module.eval()(batch["image"])
    bias = bias_loss(logits, batch["target"], batch["group"]["sex"], 2, **LOSS).value
    anchor = anchor_loss(logits, torch.linspace(-1, 1, 40)[batch["row"]])
    parts = (class_balanced_bce(logits, batch["target"], "none"), bias, anchor)
    module.training_step = lambda *args: values.append(step(*args)) or values[-1]  # type: ignore[method-assign, func-returns-value, assignment]
    fit(module, 1, batches(1))
    expected = sum(w * part for w, part in zip(weights, parts, strict=True)) + 3.0 * 0.5
    torch.testing.assert_close(values[0].detach(), expected, rtol=1e-5, atol=1e-6)


def test_threshold_follows_its_schedule_to_the_end() -> None:
    schedule = Schedule(initial=0.0, final=0.2, warmup=0.1, cooldown=0.25)
    module = module_of(schedule=schedule)
    seen: list[float] = []
    step = module.training_step
    module.training_step = lambda *args: (seen.append(module.pruner.threshold), step(*args))[1]  # type: ignore[method-assign, assignment]
    trainer = fit(module)
    assert seen == [schedule.threshold(i, 20) for i in range(20)]
    assert module.pruner.threshold == pytest.approx(0.2)
    assert float(trainer.callback_metrics["val/threshold"]) == pytest.approx(0.2)


def test_the_final_threshold_survives_a_worker() -> None:
    """A spawned worker hands back the state dict alone."""
    module, parent = module_of(), module_of()
    fit(module)
    parent.load_state_dict(module.state_dict())
    parent.finish()
    assert parent.pruner.threshold == module.pruner.threshold == pytest.approx(0.1)
    assert all(torch.equal(a, b) for a, b in zip(parent.pruner.masks().values(), module.pruner.masks().values(), strict=True))


@pytest.mark.parametrize("penalty_schedule", ["constant", "threshold"])
def test_a_strong_penalty_cuts_all_but_the_floor(penalty_schedule: str) -> None:
    module = module_of(lr=1.0, penalty=1e4, penalty_schedule=penalty_schedule, min_kept=0.5)
    trainer = fit(module)
    assert all(int(mask.sum()) == 1 for mask in module.pruner.masks().values()), "of two heads one stays"
    assert float(trainer.callback_metrics["val/kept_share"]) == 0.5


@pytest.mark.parametrize("dropout", [False, True])
def test_modes_in_training(dropout: bool) -> None:
    module = module_of(dropout=dropout)
    modes: list[bool] = []
    step = module.training_step
    module.training_step = lambda *args: (modes.append(module.net.training), step(*args))[1]  # type: ignore[method-assign, assignment]
    fit(module, 2)
    assert set(modes) == {dropout}


def test_batches_without_a_defined_gap_are_counted() -> None:
    module = module_of(weights=(0.0, 1.0, 0.0), penalty=0.0)
    loader = batches()
    for batch in loader:
        batch["group"]["sex"].zero_()
    fit(module, 1, loader)
    assert int(module.undefined_batches) == 5
    assert all(torch.equal(scores, torch.zeros_like(scores)) for scores in module.pruner.parameters())


def test_a_wrong_word_is_named() -> None:
    with pytest.raises(ConfigError, match="penalty_schedule=cubic: choose one of constant, threshold"):
        Pruning(Schedule(), 1.0, "cubic")
