"""The losses of the text side: hand values, and the numbers of the published code."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from biasmask.methods.orthogonality import REDUCTIONS, debias_loss, distance_loss, keyword_embedding, sums_by_group

ORACLES = Path(__file__).resolve().parents[3] / "shared" / "oracles"
needs_oracles = pytest.mark.skipif(
    not ORACLES.is_dir(), reason="the reference numbers lie beside the project and are absent here"
)


def oracle(name: str) -> dict:
    return torch.load(ORACLES / f"{name}.pt", weights_only=True)


@needs_oracles
def test_losses_equal_the_published_code() -> None:
    o = oracle("debias_losses")
    targets, attr = o["targets"].requires_grad_(), o["attr"].requires_grad_()
    loss, distance = debias_loss(targets, o["static"], "sum"), distance_loss(attr, o["attr_orig"])
    assert_close(loss, o["loss_debias"], rtol=1e-6, atol=0)
    assert_close(distance, o["loss_regularize"], rtol=1e-6, atol=0)
    (loss + distance).backward()
    assert_close(targets.grad, o["grad_targets"], rtol=1e-5, atol=1e-7)
    assert_close(attr.grad, o["grad_attr"], rtol=1e-5, atol=1e-7)


@needs_oracles
def test_keyword_embedding_equals_the_published_code() -> None:
    o = oracle("debias_losses")
    found = keyword_embedding(o["hidden"].unflatten(0, (3, 4)), o["mask"]).flatten(0, 1)
    assert_close(found, o["word_embeddings"], rtol=1e-6, atol=1e-6)


@needs_oracles
@pytest.mark.parametrize("layer", ["first", "last", "all"])
@pytest.mark.parametrize("mode", ["sentence", "token"])
def test_losses_on_a_bert_equal_the_published_code(layer: str, mode: str) -> None:
    o = oracle("pruning_model_minilm_block")
    if f"loss_debias/{layer}/{mode}" not in o:
        pytest.skip(f"the reference has no number for {layer}/{mode}")
    hidden = {"first": o["hidden_states"][:1], "last": o["hidden_states"][-1:], "all": o["hidden_states"]}[layer]
    if mode == "token":
        hidden = keyword_embedding(hidden, o["batch"]["keyword_mask"])
    expected = o[f"loss_debias/{layer}/{mode}"]
    assert_close(debias_loss(hidden, o["static"], "sum"), expected, rtol=1e-5, atol=0)
    if mode == "sentence":  # the published code lets padding enter the mean; ours doesn't
        ours = debias_loss(hidden, o["static"], "sum", o["batch"]["attention_mask"])
        assert not torch.isclose(ours, expected, rtol=1e-5)


def test_only_what_tells_the_groups_apart_is_charged_by_difference() -> None:
    common = torch.tensor([0.0, 7.0, 0.0])
    static = torch.stack([common + torch.tensor([1.0, 0, 0]), common - torch.tensor([1.0, 0, 0])])
    along_common, along_gender = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    charged = {r: (float(debias_loss(along_common, static, r)), float(debias_loss(along_gender, static, r))) for r in REDUCTIONS}
    assert charged == {"per_attribute": (98.0, 2.0), "sum": (196.0, 0.0), "difference": (0.0, 4.0)}


def test_three_groups_charge_each_pair_alike() -> None:
    static, t = torch.eye(3), torch.tensor([[1.0, 2.0, 4.0]])
    assert float(debias_loss(t, static, "difference")) == pytest.approx((1 + 9 + 4) / 3)


def test_static_vectors_of_each_layer_meet_their_layer() -> None:
    static = torch.randn(2, 2, 5, generator=torch.manual_seed(0))
    targets = torch.randn(2, 3, 4, 5, generator=torch.manual_seed(1))
    apart = torch.stack([debias_loss(targets[i], static[i], "per_attribute") for i in range(2)])
    assert_close(debias_loss(targets, static, "per_attribute"), apart.mean())


def test_padding_counts_in_no_mean() -> None:
    targets = torch.tensor([[[1.0], [2.0], [100.0]]])
    static = torch.tensor([[1.0], [0.0]])
    assert float(debias_loss(targets, static, "sum", torch.tensor([[1, 1, 0]]))) == 2.5
    assert float(debias_loss(targets, static, "sum", torch.zeros(1, 3))) == 0.0


def test_keyword_of_nothing_is_undefined() -> None:
    assert keyword_embedding(torch.ones(1, 2, 3), torch.zeros(1, 2)).isnan().all()


def test_mean_distance_is_the_sum_over_dimensions_divided() -> None:
    a, b = torch.randn(4, 8), torch.randn(4, 8)
    assert_close(distance_loss(a, b, "mean") * 8, distance_loss(a, b, "sum"))


def test_sums_over_batches_are_those_of_the_whole() -> None:
    x, g = torch.randn(3, 10, 4), torch.tensor([0, 1] * 5)
    parts = [sums_by_group(x[:, i : i + 3], g[i : i + 3], 2) for i in range(0, 10, 3)]
    whole = sums_by_group(x, g, 2)
    assert_close(sum(p[0] for p in parts), whole[0])
    assert sum(p[1] for p in parts).tolist() == [5, 5]


@pytest.mark.parametrize(
    ("static", "reduction", "words"),
    [
        (torch.ones(2, 3), "mean", "attribute_reduction=mean"),
        (torch.ones(1, 3), "sum", "K >= 2"),
        (torch.ones(2, 4), "sum", "K >= 2"),
    ],
)
def test_wrong_arguments_are_named(static: torch.Tensor, reduction: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        debias_loss(torch.ones(1, 3), static, reduction)  # type: ignore[arg-type]
