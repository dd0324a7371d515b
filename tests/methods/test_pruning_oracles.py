"""Masks, schedule, masked Linear and regulariser against numbers that the published code gives."""

import pytest
import torch

from biasmask.methods.block_mask import binarize, expand, regulariser, rows_kept
from biasmask.methods.masked_product import masked_linear
from biasmask.methods.threshold_schedule import Schedule, cubic_progress

LINEARS = ("attn_block32", "attn_head64xH", "attdense_head_Hx64", "minilm_head32xH", "ffn_row", "ffn_col")


def test_binarizer_forward_and_backward(oracles):
    content = oracles("pruning_binarizer.pt")
    assert len(content["cases"]) == 30
    for name, case in content["cases"].items():
        threshold, sigmoid, floor = (part.split("=")[1] for part in name.split())
        scores = content["scores"].clone().requires_grad_()
        mask = binarize(scores, float(threshold), float(floor), sigmoid == "True")
        mask.backward(content["grad_out"])
        assert torch.equal(mask, case["mask"]), name
        assert torch.equal(scores.grad, case["grad"]), name


@pytest.mark.parametrize("total", [10, 100, 1000])
def test_the_published_call_has_no_plateaus(oracles, total):
    schedule = Schedule(0.0, 0.1, reference=True)
    for step, threshold, penalty, _ in oracles("pruning_schedule.pt")[f"T={total} pruning_bias_call"].tolist():
        assert schedule.threshold(int(step), total) == pytest.approx(threshold, abs=1e-9)
        assert schedule.penalty(int(step), total, 50.0, "threshold") == pytest.approx(penalty, abs=1e-9)
    if total == 1000:  # at the end of the run the final threshold isn't reached
        assert 0.0999 < schedule.threshold(total, total) < 0.1


@pytest.mark.parametrize("total", [10, 100, 1000])
@pytest.mark.parametrize("warmup", [0, 3])
def test_plateaus_in_steps(oracles, total, warmup):
    for step, threshold, _, progress in oracles("pruning_schedule.pt")[f"T={total} warmup_steps={warmup}"].tolist():
        x = cubic_progress(int(step), total, warmup, 10 * warmup)
        assert x == pytest.approx(progress, abs=1e-9)
        assert 0.1 - 0.1 * (1 - x) ** 3 == pytest.approx(threshold, abs=1e-9)


def test_plateaus_as_shares_of_the_run(oracles):
    schedule = Schedule(final=0.1, warmup=0.03, cooldown=0.3)
    for step, threshold, _, _ in oracles("pruning_schedule.pt")["T=100 warmup_steps=3"].tolist():
        assert schedule.threshold(int(step), 100) == pytest.approx(threshold, abs=1e-9)


@pytest.mark.parametrize("name", LINEARS)
@pytest.mark.parametrize("frozen", [True, False])
def test_masked_linear(oracles, name, frozen):
    content = oracles("pruning_linear.pt")
    given, expected = content["inputs"][name], content["results"][name]
    x, scores = given["x"].clone().requires_grad_(), given["scores"].clone().requires_grad_()
    weight, bias = (given[key].clone().requires_grad_(not frozen) for key in ("weight", "bias"))
    mask = binarize(scores, content["threshold"])
    grid = mask if mask.ndim == 2 else mask[:, None] if name == "ffn_row" else mask[None]
    assert torch.equal(expand(grid.detach(), weight.shape), expected["mask"])
    assert int(expand(grid.detach(), weight.shape).sum()) == int(expected["nnz"])
    kept = rows_kept(grid, len(bias))
    torch.testing.assert_close(bias.detach() * kept, expected["masked_bias"], rtol=0, atol=0)
    y = masked_linear(x, weight, bias, grid, kept)
    y.backward(given["grad_out"])
    near = {"rtol": 1e-6, "atol": 1e-5}
    torch.testing.assert_close(y, expected["y"], **near)
    torch.testing.assert_close(x.grad, expected["grad_x"], **near)
    largest = float(expected["grad_scores"].abs().max())
    torch.testing.assert_close(scores.grad, expected["grad_scores"], rtol=1e-6, atol=1e-6 * max(1.0, largest))
    if not frozen:
        torch.testing.assert_close(weight.grad, expected["grad_weight"], **near)
        torch.testing.assert_close(bias.grad, expected["grad_bias"], **near)


@pytest.mark.parametrize("name", LINEARS)
def test_regulariser_of_one_matrix(oracles, name):
    content = oracles("pruning_linear.pt")
    scores = content["inputs"][name]["scores"].clone().requires_grad_()
    value = regulariser([scores], [])
    value.backward()
    torch.testing.assert_close(value, content["results"][name]["regu_l1"], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(scores.grad, content["results"][name]["grad_regu_l1"], rtol=1e-6, atol=1e-8)
