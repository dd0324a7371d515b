"""Scores on an encoder: nothing moves but them, masks are those of the scores, folding gives plain layers."""

import json
from copy import deepcopy

import pytest
import torch
from torch import nn

from biasmask.errors import ConfigError, MethodError
from biasmask.methods.block_mask import expand, shuffled
from biasmask.models.masked_linear import MaskedLinear
from biasmask.models.pruner import Pruner

SETTINGS = {
    "block": {"structure": "block", "block_size": 8},
    "head": {"structure": "head"},
    "values_only": {"structure": "head", "trainable": "values_only"},
    "shared": {"structure": "head", "shared": True},
    "attention_only": {"structure": "block", "block_size": 16, "feed_forward": False},
    "neurons_only": {"structure": "head", "attention": False},
}

CASES = [("bert", name) for name in SETTINGS] + [
    (architecture, "block")
    for architecture in ("albert", "deberta", "deberta_shared_key", "distilbert", "electra", "mpnet", "roberta")
]


def output(net, batch):
    return net(**batch).last_hidden_state


def draw(pruner, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for scores in pruner.parameters():
            scores.copy_(torch.randn(scores.shape, generator=generator))
    pruner.threshold = 0.5


def snapshot(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same_bits(net, before):
    state = net.state_dict()
    return list(state) == list(before) and all(torch.equal(state[name], value) for name, value in before.items())


@pytest.mark.parametrize(("architecture", "setting"), CASES)
def test_attaching_and_detaching_changes_nothing(architecture, setting, encoder, batch):
    net = encoder(architecture)
    before, plain = snapshot(net), output(net, batch)
    kinds = [type(module) for module in net.modules()]
    pruner = Pruner(net, **SETTINGS[setting])
    assert same_bits(net, before)
    torch.testing.assert_close(output(net, batch), plain, rtol=1e-5, atol=1e-5)
    assert all(scores.eq(0).all() for scores in pruner.parameters())
    draw(pruner)
    masked = output(net, batch)
    assert masked.isfinite().all() and not torch.allclose(masked, plain, atol=1e-3)
    assert pruner.detach_from_net() is net
    assert same_bits(net, before) and [type(module) for module in net.modules()] == kinds
    assert torch.equal(output(net, batch), plain)


@pytest.mark.parametrize(("architecture", "setting"), CASES)
def test_folding_gives_the_same_output_from_plain_layers(architecture, setting, encoder, batch):
    net = encoder(architecture)
    before = snapshot(net)
    pruner = Pruner(net, **SETTINGS[setting])
    draw(pruner)
    masked, masks, info = output(net, batch), pruner.masks(), pruner.describe()
    assert pruner.fold() is net
    assert not any(isinstance(module, MaskedLinear) for module in net.modules())
    torch.testing.assert_close(output(net, batch), masked, rtol=1e-5, atol=1e-5)
    changed = 0
    for name, value in net.state_dict().items():
        differs = value != before[name]
        assert value[differs].eq(0).all(), "a weight is either as it was or 0"
        changed += int(differs.sum()) if value.ndim == 2 else 0
    assert changed == info["weights_pruned"] > 0
    for layer in pruner.layers:
        mask = masks.get(f"{layer.index}.value")
        if mask is not None:
            weight = net.get_submodule(layer.matrices["value"].module).weight
            assert torch.equal(weight == 0, ~expand(mask, weight.shape))


@pytest.mark.parametrize(("architecture", "setting"), CASES)
def test_frozen_weights_are_bit_identical_after_steps_on_the_scores(architecture, setting, encoder, batch):
    net = encoder(architecture)
    before, plain = snapshot(net), output(net, batch)
    net.requires_grad_(False)
    pruner = Pruner(net, **SETTINGS[setting])
    assert {id(p) for p in pruner.parameters()}.isdisjoint({id(p) for p in net.parameters()})
    optimizer = torch.optim.AdamW(pruner.parameters(), lr=0.5, weight_decay=0.1)
    for step in range(5):
        pruner.threshold = 0.1 * step
        optimizer.zero_grad()
        (output(net, batch).square().mean() + pruner.regulariser()).backward()
        assert all(scores.grad is not None for scores in pruner.parameters())
        optimizer.step()
    assert same_bits(net, before)
    assert not torch.allclose(output(net, batch), plain, atol=1e-3)
    pruner.detach_from_net()
    assert torch.equal(output(net, batch), plain)


def naive_gradients(net, pruner, batch):
    """The textbook way: a dense mask leaf on each weight, its gradient summed over blocks, all by plain autograd."""
    own = deepcopy(net)
    masks, leaves = pruner.masks(), {}
    for layer in pruner.layers:
        for role, matrix in layer.matrices.items():
            name = f"{layer.index}.intermediate" if role == "feed_forward_output" else matrix.name
            if name not in masks:
                continue
            grid = masks[name].double()
            grid = grid if grid.ndim == 2 else grid[:, None] if role == "intermediate" else grid[None]
            linear = own.get_submodule(matrix.module)
            dense = expand(grid, linear.weight.shape).requires_grad_()
            weight = linear.weight.detach()
            bias = linear.bias.detach() * (dense.detach() > 0).any(1)
            leaves.setdefault(name, []).append((role, dense))
            linear.forward = lambda x, w=weight, m=dense, b=bias: nn.functional.linear(x, w * m, b)
    output(own, batch).square().sum().backward()
    gradients = {}
    for name, found in leaves.items():
        for role, dense in found:
            scores = pruner.gates[name].scores
            grid = tuple(scores.shape) if scores.ndim == 2 else (len(scores), 1) if role == "intermediate" else (1, len(scores))
            rows, columns = dense.shape[0] // grid[0], dense.shape[1] // grid[1]
            summed = dense.grad.view(grid[0], rows, grid[1], columns).sum((1, 3)).view(scores.shape)
            gradients[name] = gradients.get(name, 0) + summed
    return gradients


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(("architecture", "setting"), CASES[:7])
def test_score_gradients_are_those_of_the_textbook(architecture, setting, frozen, encoder, batch):
    net = encoder(architecture).double().requires_grad_(not frozen)
    plain = deepcopy(net)
    pruner = Pruner(net, **SETTINGS[setting])
    pruner.double()
    draw(pruner)
    expected = naive_gradients(plain, pruner, batch)
    output(net, batch).square().sum().backward()
    tied: dict[int, torch.Tensor] = {}
    for matrix, gate in pruner.gates.items():
        tied[id(gate.scores)] = tied.get(id(gate.scores), 0) + expected[matrix]
    for gate in pruner.gates.values():
        torch.testing.assert_close(gate.scores.grad, tied[id(gate.scores)], rtol=1e-9, atol=1e-9)


def test_tied_scores_are_one_parameter(encoder, batch):
    pruner = Pruner(encoder("bert"), "head", shared=True, feed_forward=False)
    scores = pruner.scores
    prefix = "encoder.layer.0.attention.self"
    assert scores[f"{prefix}.query"] is scores[f"{prefix}.key"] is scores[f"{prefix}.value"]
    assert scores[f"{prefix}.query"] is not scores["encoder.layer.1.attention.self.query"]
    assert len(list(pruner.parameters())) == 4, "per layer one for query, key and value, one for the output"
    assert len(pruner.state_dict()) == 4
    draw(pruner)
    masks = pruner.masks()
    assert torch.equal(masks["0.query"], masks["0.value"]) and masks["0.output"].shape == (1, 4)
    single = Pruner(encoder("bert"), "head", feed_forward=False)
    with torch.no_grad():
        for name, parameter in single.scores.items():
            parameter.copy_(scores[name])
    torch.testing.assert_close(single.regulariser(), pruner.regulariser(), msg="a shared Parameter counts for each matrix")


def test_values_only_has_no_scores_elsewhere(encoder):
    pruner = Pruner(encoder("bert"), "head", trainable="values_only")
    assert list(pruner.scores) == [f"encoder.layer.{i}.attention.self.value" for i in (0, 1)]
    with torch.no_grad():
        for scores in pruner.parameters():
            scores.fill_(-100)
    assert pruner.regulariser().item() == pytest.approx(0, abs=1e-6), "nothing frozen dilutes the regulariser"


def test_structures_have_the_grids_of_the_paper(encoder):
    shapes = {name: tuple(g.scores.shape) for name, g in Pruner(encoder("bert"), "block", 16).gates.items() if name[0] == "0"}
    assert shapes == {**{f"0.{r}": (2, 2) for r in ("query", "key", "value", "output")}, "0.intermediate": (48,)}
    pruner = Pruner(encoder("bert"), "head")
    shapes = {name: tuple(g.scores.shape) for name, g in pruner.gates.items() if name[0] == "0"}
    assert shapes == {**{f"0.{r}": (4, 1) for r in ("query", "key", "value")}, "0.output": (1, 4), "0.intermediate": (48,)}
    weights = pruner.block_weights()
    assert weights["0.query"] == weights["0.output"] == 8 * 32 and weights["1.intermediate"] == 2 * 32


def test_a_block_size_that_no_matrix_uses_need_not_divide(encoder):
    assert list(Pruner(encoder("bert"), "block", 5, attention=False).masks()) == ["0.intermediate", "1.intermediate"]


@pytest.mark.parametrize("architecture", ["bert", "deberta", "mpnet"])
def test_everything_pruned_still_runs(architecture, encoder, batch):
    net = encoder(architecture)
    pruner = Pruner(net, "block", 8)
    with torch.no_grad():
        for scores in pruner.parameters():
            scores.fill_(-9)
    pruner.threshold = 0.1
    assert output(net, batch).isfinite().all()
    info = pruner.describe()
    assert info["kept"] == 0 and info["weights_pruned"] == info["weights_total"]
    assert info["warnings"] == [
        "everything pruned: no block is left in any masked matrix; a weaker penalty or min_kept keeps some"
    ]
    output(net, batch).square().sum().backward()
    assert all(scores.grad.isfinite().all() for scores in pruner.parameters())
    pruner.fold()
    assert output(net, batch).isfinite().all()


def test_a_floor_keeps_a_share_of_each_matrix(encoder):
    pruner = Pruner(encoder("bert"), "block", 8, min_kept=0.25)
    with torch.no_grad():
        for scores in pruner.parameters():
            scores.fill_(-9)
    pruner.threshold = 0.1
    assert all(int(mask.sum()) == mask.numel() / 4 for mask in pruner.masks().values())


def test_all_heads_of_one_layer_pruned(encoder, batch):
    net = encoder("bert")
    pruner = Pruner(net, "head", feed_forward=False)
    masks = pruner.masks()
    masks["1.value"][:] = False
    masks["0.output"][0, 2] = False
    masks["0.query"][1] = False
    pruner.set_masks(masks)
    info = pruner.describe()
    assert info["whole_heads"] == [[0, 2], [1, 0], [1, 1], [1, 2], [1, 3]], "a masked query makes no head whole"
    assert info["warnings"] == ["layer 1: all heads pruned, its attention adds only a constant", "1.value: pruned entirely"]
    assert info["heads"][1] == {"layer": 0, "head": 1, "query": 0, "key": 1, "value": 1, "output": 1, "whole": False}
    assert output(net, batch).isfinite().all()


def test_the_map_of_partly_kept_heads_is_plain_json(encoder):
    pruner = Pruner(encoder("bert"), "block", 16, feed_forward=False)
    masks = pruner.masks()
    masks["0.value"][0, 1] = False
    pruner.set_masks(masks)
    info = json.loads(json.dumps(pruner.describe(), allow_nan=False))
    assert (info["structure"], info["block_size"], info["kept"], info["total"]) == ("block", 16, 31, 32)
    assert info["kept_share"] == pytest.approx(31 / 32)
    value = next(matrix for matrix in info["matrices"] if matrix["name"] == "0.value")
    assert (value["module"], value["grid"]) == ("encoder.layer.0.attention.self.value", [2, 2])
    assert (value["density"], value["weights_pruned"]) == (0.75, 256)
    assert [head["value"] for head in info["heads"][:4]] == [0.5, 0.5, 1, 1], "a block of 16 rows is two heads of 8"
    assert info["neurons"] == [] and info["warnings"] == [] and info["threshold"] == 0
    untouched = Pruner(encoder("bert"), "head", trainable="values_only").describe()
    assert untouched["warnings"][0].startswith("nothing pruned")
    assert untouched["heads"][0]["query"] is None and untouched["heads"][0]["value"] == 1


def test_fixed_masks_take_the_place_of_the_scores(encoder, batch):
    net = encoder("bert")
    pruner = Pruner(net, "block", 8)
    draw(pruner)
    own, masks = output(net, batch), pruner.masks()
    random = shuffled(masks, seed=3, block_weights=pruner.block_weights())
    pruner.set_masks(random)
    assert all(torch.equal(mask, random[name]) for name, mask in pruner.masks().items())
    other = output(net, batch)
    assert not torch.allclose(other, own)
    other.sum().backward()
    assert all(scores.grad is None for scores in pruner.parameters())
    pruner.set_masks(None)
    assert torch.equal(output(net, batch), own)


def test_masks_of_another_pruner_are_refused(encoder):
    pruner = Pruner(encoder("bert"), "block", 8)
    masks = pruner.masks()
    with pytest.raises(ConfigError, match="aren't of this pruner's matrices: 0.query"):
        pruner.set_masks({name: mask for name, mask in masks.items() if name != "0.query"})
    with pytest.raises(ConfigError, match=r"the mask of 0.query is \(2, 2\), its scores are \(4, 4\)"):
        pruner.set_masks({**masks, "0.query": torch.ones(2, 2, dtype=torch.bool)})
    assert all(gate.fixed is None for gate in pruner.gates.values())


def test_scores_come_back_from_a_state_dict(encoder, batch):
    net, other = encoder("bert"), encoder("bert")
    pruner, copy = Pruner(net, "block", 8), Pruner(other, "block", 8)
    draw(pruner)
    copy.load_state_dict(pruner.state_dict())
    copy.threshold = pruner.threshold
    assert torch.equal(output(net, batch), output(other, batch))


def test_trained_weights_are_folded_too(encoder, batch):
    net = encoder("bert")
    before = snapshot(net)
    pruner = Pruner(net, "block", 8)
    draw(pruner)
    optimizer = torch.optim.SGD([*net.parameters(), *pruner.parameters()], lr=0.1)
    output(net, batch).square().mean().backward()
    optimizer.step()
    masked = output(net, batch)
    torch.testing.assert_close(output(pruner.fold(), batch), masked, rtol=1e-5, atol=1e-5)
    weight = net.encoder.layer[0].attention.self.value.weight
    assert not torch.equal(weight, before["encoder.layer.0.attention.self.value.weight"])


def test_the_folded_model_loads_as_a_plain_one(encoder, batch, tmp_path):
    from transformers import AutoModel

    net = encoder("bert")
    pruner = Pruner(net, "block", 8)
    draw(pruner)
    pruner.fold().save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(output(again, batch), output(net, batch))


def test_bfloat16_autocast_trains_scores(encoder, batch):
    net = encoder("bert").requires_grad_(False)
    pruner = Pruner(net, "block", 8)
    draw(pruner)
    exact = output(net, batch).detach()
    with torch.autocast("cpu", torch.bfloat16):
        lowered = output(net, batch)
    assert float((lowered.detach().float() - exact).norm() / exact.norm()) < 0.05
    lowered.float().square().sum().backward()
    assert all(scores.grad.dtype == torch.float32 and scores.grad.isfinite().all() for scores in pruner.parameters())


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_vision_transformer(setting, vit):
    net, images = vit(), torch.rand(2, 3, 32, 32)
    plain, before = net(images), snapshot(net)
    net.requires_grad_(False)
    pruner = Pruner(net, **SETTINGS[setting])
    torch.testing.assert_close(net(images), plain, rtol=1e-4, atol=1e-5)
    draw(pruner)
    net(images).sum().backward()
    assert all(scores.grad is not None for scores in pruner.parameters()) and same_bits(net, before)
    if setting == "values_only":
        assert list(pruner.scores)[0] == "blocks.0.attn.qkv.value"
    masked, info = net(images), pruner.describe()
    pruner.fold()
    torch.testing.assert_close(net(images), masked, rtol=1e-4, atol=1e-5)
    if setting == "values_only":
        weight = net.blocks[0].attn.qkv.weight
        assert torch.equal(weight[:128], before["blocks.0.attn.qkv.weight"][:128]) and info["weights_total"] == 6 * 64 * 64


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"structure": "row"}, "structure=row: it is one of block, head"),
        ({"structure": "block"}, "prune_block_size=None: .*needs the edge of a block"),
        (
            {"structure": "block", "block_size": 5},
            "prune_block_size=5: blocks of 5 x 5 don't divide .*query .*: 1, 2, 4, 8, 16, 32",
        ),
        ({"structure": "head", "trainable": "keys"}, "trainable=keys: it is one of all, values_only"),
        ({"structure": "head", "min_kept": 2.0}, "min_kept=2.0"),
        ({"structure": "head", "shared": True, "trainable": "values_only"}, "nothing can be shared"),
        ({"structure": "head", "attention": False, "feed_forward": False}, "nothing to prune"),
        ({"structure": "head", "attention": False, "trainable": "values_only"}, "nothing to prune"),
    ],
)
def test_settings_that_cant_work(arguments, words, encoder):
    net = encoder("bert")
    with pytest.raises(ConfigError, match=words):
        Pruner(net, **arguments)
    assert not any(isinstance(module, MaskedLinear) for module in net.modules()), "a refused pruner leaves the net alone"


def test_a_pruner_is_attached_once(encoder):
    net = encoder("bert")
    pruner = Pruner(net, "head")
    with pytest.raises(ConfigError, match="has a pruner already"):
        Pruner(net, "head")
    pruner.fold()
    with pytest.raises(MethodError, match="isn't attached any more"):
        pruner.detach_from_net()
    assert Pruner(net, "head").masks(), "after folding there is room for another"
