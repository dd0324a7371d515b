"""Contextual embeddings of words, by their places in the text, and the cosine of two words of a sentence."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.data.profession_pairs import PersonSentence
from biasmask.models.text_encoder import base_of, batches_by_tokens, require_offsets

Span = tuple[int, int]


@torch.no_grad()
def span_embeddings(
    net: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    max_length: int = 128,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Embedding of each span by the last layer: mean over the tokens that share a character with it.

    Args:
        net: the model; run in eval mode, left as it was.
        tokenizer: a fast one.
        texts: N sentences; longer ones are cut at `max_length` tokens.
        spans: for each text equally many places (start, end) in characters.
        tokens_per_batch: sentences times longest, at most (one sentence at least).
        progress: called with (done, total).

    Returns:
        (N, spans, D) float32 on the CPU; NaN for a span without a token, as one that was cut off.

    Raises:
        ConfigError: a tokenizer without offsets.
        ValueError: texts with differing numbers of spans.
    """
    require_offsets(tokenizer)
    n_spans = {len(each) for each in spans}
    if len(texts) != len(spans) or len(n_spans) > 1:
        raise ValueError("each text needs its spans, and all texts equally many")
    found = torch.full((len(texts), next(iter(n_spans), 0), base_of(net).config.hidden_size), torch.nan)
    if not len(texts):
        return found
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    was_training, home = net.training, next(net.parameters()).device
    net.to(device).eval()
    done = 0
    try:
        for rows in batches_by_tokens(order, [len(ids[i]) for i in order], tokens_per_batch):
            batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            marks = torch.zeros(len(rows), found.shape[1], batch["input_ids"].shape[1])
            for place, row in enumerate(rows):
                for number, (start, end) in enumerate(spans[row]):
                    # Tokens that stand for no character, such as [CLS], have an empty offset.
                    touched = [token for token, (first, last) in enumerate(offsets[row]) if first < end and last > start]
                    marks[place, number, touched] = 1
            inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
            last_layer = base_of(net)(**inputs).last_hidden_state.float().cpu()
            # 0/0 makes NaN of a span without a token.
            found[rows] = (marks @ last_layer) / marks.sum(2, keepdim=True)
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
    finally:
        net.to(home).train(was_training)
    return found


def person_profession_cosine(net: nn.Module, tokenizer: Any, sentences: Sequence[PersonSentence], **settings: Any) -> Tensor:
    """Cosine between the person word and the profession word of each sentence.

    Args:
        sentences: N sentences with both places.
        settings: max_length, tokens_per_batch, device, progress of `span_embeddings`.

    Returns:
        (N,) float64 in [-1, 1]; NaN where a word was cut off or has no direction.
    """
    spans = [(sentence.person, sentence.profession) for sentence in sentences]
    words = span_embeddings(net, tokenizer, [sentence.text for sentence in sentences], spans, **settings).to(torch.float64)
    units = words / words.norm(dim=2, keepdim=True)
    return (units[:, 0] * units[:, 1]).sum(1) if len(words) else torch.zeros(0, dtype=torch.float64)
