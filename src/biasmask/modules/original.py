"""What the frozen original says of the attribute words: computed once where that fits into memory, else in every step.

It is no part of the module: it has no dropout, learns nothing and stands in no checkpoint.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.methods.orthogonality import keyword_embedding
from biasmask.models.text_encoder import hidden_states

Batches = Callable[[], Iterable[dict[str, Tensor]]] | None


def in_float32(like: Tensor) -> Any:
    """Autocast off on the device of a tensor: losses and the means they are made of keep their digits."""
    return torch.autocast(like.device.type, enabled=False)


def keywords_of(outputs: Sequence[Tensor], keyword_mask: Tensor) -> Tensor:
    """Keyword embeddings at several layers, (L, B, D), from the outputs (B, T, D) of each."""
    with in_float32(keyword_mask):
        return torch.stack([keyword_embedding(h, keyword_mask) for h in outputs])


class OriginalEmbeddings:
    """Keyword embeddings of the original at all layers, by row of the sentence table.

    Args:
        limit: bytes that they may take; above, a copy of the original is run in every step.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.place: dict[int, int] = {}
        self.vectors: Tensor | None = None  # (rows, L, D)
        self.net: nn.Module | None = None

    @property
    def cached(self) -> bool:
        return self.vectors is not None

    @torch.no_grad()
    def prepare(self, module: Any, *sources: Batches) -> None:
        """Ask the module's net, before anything has moved, for all attribute sentences of the sources."""
        rows: list[int] = []
        parts: list[Tensor] = []
        size = 0
        for source in sources:
            for batch in source() if source is not None else ():
                attribute = batch["kind"] < module.n_groups
                if not attribute.any():
                    continue
                moved = {name: tensor[attribute].to(module.device) for name, tensor in batch.items()}
                found = keywords_of(module.outputs(moved), moved["keyword_mask"]).transpose(0, 1).cpu()
                size += found.numel() * found.element_size()
                if size > self.limit:
                    self.net = copy.deepcopy(module.net).requires_grad_(False).eval()
                    return
                rows += moved["row"].tolist()
                parts.append(found)
        self.place = {row: i for i, row in enumerate(rows)}
        self.vectors = torch.cat(parts) if parts else torch.zeros(0)

    @torch.no_grad()
    def __call__(self, module: Any, batch: dict[str, Tensor]) -> Tensor:
        """(L, B, D) for the sentences of a batch, all of them attribute sentences."""
        if self.vectors is not None:
            found = self.vectors[[self.place[row] for row in batch["row"].tolist()]]
            return found.transpose(0, 1).to(module.device)
        assert self.net is not None, "the original was never asked"
        self.net.to(module.device)
        moved = {name: tensor.to(module.device) for name, tensor in batch.items()}
        layers = hidden_states(self.net, moved["input_ids"], moved["attention_mask"])
        return keywords_of([h.float() for h in layers], moved["keyword_mask"])
