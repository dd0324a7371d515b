"""Attention in float32 on the CPU: same values, gradients of the inputs' dtype, nothing else touched."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from biasmask.models.float_attention import FloatAttention


def inputs(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 5, 4, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("floating", [True, False], ids=["added mask", "bool mask"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lowered_inputs_are_computed_in_float32_and_come_back_lowered(dtype: torch.dtype, floating: bool) -> None:
    kept = torch.tensor([True, True, True, False, True]).expand(2, 1, 5, 5)
    mask = torch.zeros(kept.shape, dtype=dtype).masked_fill(~kept, -1e4) if floating else kept
    low = inputs(dtype)
    with torch.autocast("cpu", torch.bfloat16), FloatAttention():
        found = F.scaled_dot_product_attention(*low, attn_mask=mask)
    high = [tensor.detach().float().requires_grad_() for tensor in low]
    expected = F.scaled_dot_product_attention(*high, attn_mask=mask.float() if floating else mask)
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found.backward(weights)
    expected.backward(weights.float())
    for mine, theirs in zip(low, high, strict=True):
        assert mine.grad is not None and theirs.grad is not None
        assert_close(mine.grad, theirs.grad.to(dtype))


def test_keywords_and_float32_inputs_pass_through() -> None:
    query, key, value = inputs(torch.float32)
    with FloatAttention():
        found = F.scaled_dot_product_attention(query=query, key=key, value=value, scale=0.5)
        product = torch.ones(2, dtype=torch.bfloat16) * 2
    assert torch.equal(found, F.scaled_dot_product_attention(query, key, value, scale=0.5))
    assert product.dtype == torch.bfloat16
    with FloatAttention():
        low = F.scaled_dot_product_attention(query=query.bfloat16(), key=key.bfloat16(), value=value.bfloat16())
    assert low.dtype == torch.bfloat16
