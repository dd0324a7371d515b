"""The text module: what its losses see, what may move, and what the frozen original says."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.testing import assert_close

from biasmask.data.sentences import SentenceTable
from biasmask.data.token_batches import PairedBatches, ordered_batches, ordered_loader, sentence_loader
from biasmask.data.word_lists import load_word_lists
from biasmask.errors import ConfigError
from biasmask.methods.threshold_schedule import Schedule
from biasmask.models.pruner import Pruner
from biasmask.models.text_encoder import load_encoder
from biasmask.modules.original import keywords_of
from biasmask.modules.text_debias import TextDebiasModule, TextLosses, layers_of
from biasmask.pipeline.stages import expected_warnings
from tests.text import sentences, write_bert, write_lists

LOSSES: dict[str, Any] = {
    "embedding_layer": "last",
    "debias_mode": "sentence",
    "attribute_reduction": "difference",
    "static_vectors": "each",
    "debias_weight": 0.2,
    "distance_weight": 0.8,
    "distance_reduce": "sum",
    "penalty": 1.0,
    "penalty_schedule": "constant",
}


class Parts:
    """A tiny encoder, its sentences, and a way to train."""

    def __init__(self, folder: Path):
        self.net, tokenizer = load_encoder(str(write_bert(folder / "bert")))
        lists = load_word_lists(write_lists(folder))
        self.table = SentenceTable.from_texts(sentences(12), lists, tokenizer)
        self.rows = {kind: self.table.rows(kind) for kind in self.table.kinds}

    def attribute_batches(self) -> Any:
        rows = torch.cat([torch.as_tensor(self.rows[kind]) for kind in ("male", "female")]).numpy()
        return ordered_batches(self.table, rows, 64)

    def module(self, prune: bool = True, weights_lr: float | None = None, lr: float = 0.5, **losses: Any) -> TextDebiasModule:
        pruner = Pruner(self.net, "block", 16) if prune else None
        return TextDebiasModule(
            self.net, 2, TextLosses(**{**LOSSES, **losses}), partial(torch.optim.AdamW, lr=lr, weight_decay=0.0), weights_lr,
            pruner, Schedule(cooldown=0.2), False, self.attribute_batches, self.attribute_batches,
        )  # fmt: skip

    def fit(self, module: TextDebiasModule, epochs: int = 3) -> lightning.Trainer:
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0,
        )  # fmt: skip
        with expected_warnings():
            train = sentence_loader(self.table, PairedBatches(self.table, self.rows, 9, 1))
            held_out = ordered_loader(self.table, list(range(len(self.table))), 64)
            trainer.fit(module, train, held_out)
        module.finish()
        return trainer


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_frozen_weights_keep_every_bit_and_blocks_go(parts: Parts) -> None:
    before = {name: tensor.clone() for name, tensor in parts.net.state_dict().items()}
    module = parts.module()
    parts.fit(module, epochs=6)
    assert module.pruner is not None
    kept = {name: mask for name, mask in module.pruner.masks().items()}
    assert any(not mask.all() for mask in kept.values()), "nothing was pruned: the test would prove nothing"
    after = parts.net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert module.pruner.threshold == pytest.approx(0.1)


def test_the_original_says_the_same_at_the_end(parts: Parts) -> None:
    module = parts.module()
    batch = next(iter(parts.attribute_batches()))
    with torch.no_grad():
        first = keywords_of(module.outputs(batch), batch["keyword_mask"])
    parts.fit(module)
    assert torch.equal(module.original(module, batch), first)
    with torch.no_grad():
        now = keywords_of(module.outputs(batch), batch["keyword_mask"])
    assert not torch.allclose(now, first), "the masked model hasn't moved: the test would prove nothing"


def test_asking_the_original_in_every_step_gives_the_same_training(tmp_path: Path) -> None:
    scores = []
    for limit in (2**31, 0):
        parts = Parts(tmp_path / str(limit))
        module = parts.module()
        module.original.limit = limit
        parts.fit(module)
        assert module.original.cached == (limit > 0)
        assert not any("original" in name for name in module.state_dict())
        scores.append([score.detach().clone() for score in module.pruner.parameters()])  # type: ignore[union-attr]
    for cached, asked in zip(*scores, strict=True):
        assert_close(cached, asked, rtol=1e-4, atol=1e-4)


def test_plain_fine_tuning_lowers_the_debias_loss(parts: Parts) -> None:
    module = parts.module(prune=False, weights_lr=1e-3)
    trainer = parts.fit(module, epochs=1)
    first = float(trainer.callback_metrics["val/debias_loss"])
    module = parts.module(prune=False, weights_lr=1e-3)
    trainer = parts.fit(module, epochs=8)
    assert float(trainer.callback_metrics["val/debias_loss"]) < 0.7 * first


def test_weights_learn_beside_scores_at_their_own_rate(parts: Parts) -> None:
    before = {name: tensor.clone() for name, tensor in parts.net.state_dict().items()}
    module = parts.module(weights_lr=1e-3)
    parts.fit(module, epochs=1)
    groups = module.optimizers().param_groups  # type: ignore[union-attr]
    assert [group["initial_lr"] for group in groups] == [0.5, 1e-3]
    assert any(not torch.equal(before[name], tensor) for name, tensor in parts.net.state_dict().items())


def test_static_vectors_are_means_over_the_training_sentences(parts: Parts) -> None:
    module = parts.module(embedding_layer="all")
    parts.fit(module, epochs=1)
    module.original.net, module.original.vectors = None, None
    parts.net.eval()
    found = module.static_vectors()
    for k, kind in enumerate(parts.table.kinds[:2]):
        batch = parts.table.batch(parts.rows[kind])
        with torch.no_grad():
            mean = keywords_of(module.outputs(batch), batch["keyword_mask"]).mean(1)
        assert_close(found[:, k], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["sentence", "token"])
@pytest.mark.parametrize("layer", ["first", "last", "intermediate", "all"])
def test_padding_changes_no_loss(parts: Parts, layer: str, mode: str) -> None:
    module = parts.module(embedding_layer=layer, debias_mode=mode)
    module.static = torch.randn(len(module.charged_layers(3)), 2, 32, generator=torch.manual_seed(0))
    module.original.net = load_encoder_copy(parts)
    batch = parts.table.batch([*parts.rows["male"][:2], *parts.rows["stereotype"][:3]])
    padded = {name: torch.nn.functional.pad(t, (0, 5)) if t.ndim == 2 else t for name, t in batch.items()}
    with torch.no_grad():
        for loss in (module.debias, module.distance):
            assert_close(loss(module.outputs(batch), batch), loss(module.outputs(padded), padded), rtol=1e-5, atol=1e-5)


def test_losses_keep_their_digits_under_autocast(parts: Parts) -> None:
    module = parts.module()
    module.static = torch.randn(1, 2, 32, generator=torch.manual_seed(0))
    module.original.prepare(module, parts.attribute_batches)
    assert module.original.cached
    assert module.pruner is not None
    with torch.no_grad():
        for score in module.pruner.parameters():
            score.view(-1)[::2] = -4.0
        module.pruner.threshold = 0.1
        batch = parts.table.batch([*parts.rows["male"][:2], *parts.rows["stereotype"][:3]])
        outputs = module.outputs(batch)
        for loss in (module.debias, module.distance):
            expected = loss(outputs, batch)
            with torch.autocast("cpu", torch.bfloat16):
                assert torch.equal(loss(outputs, batch), expected)
            assert float(expected) > 0


def load_encoder_copy(parts: Parts) -> torch.nn.Module:
    import copy

    return copy.deepcopy(parts.net)


def test_layers_are_named_from_the_embedding_output() -> None:
    assert layers_of("first", 13) == [0] and layers_of("last", 13) == [12]
    assert layers_of("intermediate", 13) == [1, 2, 3, 4] and layers_of("all", 3) == [0, 1, 2]


@pytest.mark.parametrize("key", ["embedding_layer", "debias_mode", "static_vectors", "penalty_schedule"])
def test_a_wrong_word_is_named_with_the_choices(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}=nonsense: choose one of"):
        TextLosses(**{**LOSSES, key: "nonsense"})


def test_hyper_parameters_are_primitives(parts: Parts) -> None:
    values = parts.module().hparams.values()
    assert values and all(isinstance(value, str | int | float | bool | None) for value in values)
