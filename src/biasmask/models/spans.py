"""Embeddings of words in their sentences, by the characters where they stand."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.models.text_encoder import base_of, batches_by_tokens, require_offsets

Span = tuple[int, int]


@torch.no_grad()
def embed_spans(
    net: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    max_length: int = 128,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    projection: Tensor | None = None,
) -> Tensor:
    """Contextual embedding of words: the mean over the last layer's tokens that lie in a span.

    Args:
        net: an encoder, alone or with a head; run in eval mode, left as it was.
        texts: N sentences.
        spans: N times the same number S of (start, end) in characters.
        max_length: longer sentences are cut.
        progress: called with (done, total).
        projection: (D, D), applied to the tokens; None: none.
    Returns:
        (N, S, D) float32 on the CPU; NaN for a span that no token lies in (it was cut off).
    """
    require_offsets(tokenizer)
    if not len(texts):
        return torch.zeros(0, 0, base_of(net).config.hidden_size)
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    found = torch.full((len(texts), len(spans[0]), base_of(net).config.hidden_size), torch.nan)
    was_training, home, done = net.training, next(net.parameters()).device, 0
    net.to(device).eval()
    try:
        for rows in batches_by_tokens(order, [len(ids[i]) for i in order], tokens_per_batch):
            batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            last = base_of(net)(
                input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device)
            ).last_hidden_state.float().cpu()  # fmt: skip
            if projection is not None:
                last = last @ projection
            for place, row in enumerate(rows):
                token = torch.tensor(offsets[row])
                for number, (start, end) in enumerate(spans[row]):
                    inside = (token[:, 0] >= start) & (token[:, 1] <= end) & (token[:, 1] > token[:, 0])
                    if inside.any():
                        found[row, number] = last[place, : len(token)][inside].mean(0)
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
    finally:
        net.to(home).train(was_training)
    return found
