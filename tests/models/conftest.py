"""Tiny encoders of each architecture that the pruner is tried on, with weights large enough for masks to matter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

SIZES = {"vocab_size": 60, "max_position_embeddings": 24}
WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, **SIZES}
DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "max_relative_positions": 8,
}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", WIDTHS),
    "distilbert": ("DistilBert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, **SIZES}),
    "roberta": ("Roberta", WIDTHS),
    "electra": ("Electra", {**WIDTHS, "embedding_size": 16}),
    "albert": ("Albert", {**WIDTHS, "embedding_size": 16, "num_hidden_layers": 3}),
    "mpnet": ("MPNet", WIDTHS),
    "deberta": ("DebertaV2", {**WIDTHS, **DEBERTA}),
    "deberta_shared_key": ("DebertaV2", {**WIDTHS, **DEBERTA, "share_att_key": True}),
}
BatchOf = dict[str, Tensor]


def make_encoder(name: str, seed: int = 0, head: str = "Model", **changes: Any) -> nn.Module:
    """A random encoder in eval mode; `head` is the ending of its class, such as `ForMaskedLM`."""
    import transformers

    kind, settings = ARCHITECTURES[name]
    torch.manual_seed(seed)
    net = getattr(transformers, f"{kind}{head}")(getattr(transformers, f"{kind}Config")(**{**settings, **changes}))
    with torch.no_grad():
        for parameter_name, parameter in net.named_parameters():
            if "LayerNorm" not in parameter_name and "layer_norm" not in parameter_name:
                parameter.normal_(std=0.3)
    return net.eval()


@pytest.fixture
def encoder() -> Callable[..., nn.Module]:
    return make_encoder


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def batch() -> BatchOf:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 5:] = 0
    return {"input_ids": torch.randint(5, 60, (3, 9), generator=generator), "attention_mask": mask}


@pytest.fixture
def vit() -> Callable[..., nn.Module]:
    """timm's test_vit with one output, for images of 32 pixels."""

    def build(**args: Any) -> nn.Module:
        import timm

        torch.manual_seed(0)
        return timm.create_model("test_vit", num_classes=1, img_size=32, **args).eval()

    return build
