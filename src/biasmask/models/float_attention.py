"""Attention in float32 on the CPU, whatever autocast makes of its inputs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class FloatAttention(TorchFunctionMode):
    """While it is active, `scaled_dot_product_attention` of lowered inputs on the CPU is computed in float32.

    The backward pass of that kernel is about six times slower in bfloat16 than in float32 (torch 2.14, AVX-512); the casts
    cost little beside it, and the softmax is the more exact. Other devices are left alone.

    >>> q = torch.ones(1, 1, 2, 4, dtype=torch.bfloat16)
    >>> with FloatAttention():
    ...     F.scaled_dot_product_attention(q, q, q).dtype
    torch.bfloat16
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query: Tensor = args[0] if args else kwargs["query"]
        lowered = query.dtype in (torch.bfloat16, torch.float16)
        if query.device.type != "cpu" or not lowered:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_raised, args), **{name: _raised(value) for name, value in kwargs.items()}).to(query.dtype)


def _raised(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
