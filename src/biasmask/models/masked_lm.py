"""Log-probabilities of words by a masked language model, each predicted with itself hidden: for the likelihood benchmarks.

The head runs on the hidden token alone: over all tokens it would cost about as much as the encoder. Letters: B sequences,
T tokens, V words of the vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.data.bias_benchmarks import GapItem, SentencePair
from biasmask.errors import ConfigError
from biasmask.metrics.pseudo_likelihood import shared_positions
from biasmask.models.text_encoder import base_of, batches_by_tokens, require_offsets

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class HiddenToken:
    """What to predict: the token at `position` of `ids`, which is hidden there; special tokens are in `ids`."""

    ids: Sequence[int]
    position: int
    target: int


def has_masked_lm_head(net: nn.Module) -> bool:
    """True for a masked language model with its head, False for a bare encoder."""
    return type(net).__name__.endswith("ForMaskedLM")


@torch.no_grad()
def log_probabilities(
    net: nn.Module,
    tokenizer: Any,
    hidden: Sequence[HiddenToken],
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Tensor:
    """Log-probability of each hidden token.

    Args:
        net: a masked language model; run in eval mode, left as it was.
        tokenizer: with a mask token.
        hidden: N tokens to predict; in batches of like length, padded to the longest.
        tokens_per_batch: sequences times longest, at most (one sequence at least).
        progress: called with (done, total).

    Returns:
        (N,) float64, at most 0, on the CPU.

    Raises:
        ConfigError: a model without a masked-LM head, a tokenizer without a mask token.
    """
    if not has_masked_lm_head(net):
        raise ConfigError(
            f"{type(net).__name__} has no masked-LM head: likelihood benchmarks need one, such as bert-base-uncased"
        )
    if tokenizer.mask_token_id is None:
        raise ConfigError(f"tokenizer {type(tokenizer).__name__} has no mask token: likelihood benchmarks need one")
    found = torch.zeros(len(hidden), dtype=torch.float64)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.mask_token_id
    order = sorted(range(len(hidden)), key=lambda i: len(hidden[i].ids))
    was_training, home = net.training, next(net.parameters()).device
    net.to(device).eval()
    done = 0
    try:
        for rows in batches_by_tokens(order, [len(hidden[i].ids) for i in order], tokens_per_batch):
            input_ids = torch.full((len(rows), max(len(hidden[i].ids) for i in rows)), padding)
            mask = torch.zeros_like(input_ids)
            for place, row in enumerate(rows):
                token = hidden[row]
                input_ids[place, : len(token.ids)] = torch.tensor(token.ids)
                input_ids[place, token.position] = tokenizer.mask_token_id
                mask[place, : len(token.ids)] = 1
            positions = torch.tensor([hidden[i].position for i in rows], device=device)
            with _head_sees_only(base_of(net), positions):
                logits = net(input_ids=input_ids.to(device), attention_mask=mask.to(device)).logits
            targets = torch.tensor([hidden[i].target for i in rows], device=device)
            logits = logits[:, 0].double()
            found[rows] = (logits.gather(1, targets.unsqueeze(1))[:, 0] - logits.logsumexp(1)).cpu()
            done += len(rows)
            if progress is not None:
                progress(done, len(hidden))
    finally:
        net.to(home).train(was_training)
    return found


def crows_pairs(
    net: nn.Module, tokenizer: Any, pairs: Sequence[SentencePair], max_length: int = 128, **settings: Any
) -> tuple[Tensor, Tensor]:
    """Pseudo-log-likelihood of the tokens that the sentences of a pair share, given all others of each sentence.

    Args:
        pairs: N pairs.
        max_length: longer sentences are cut.
        settings: tokens_per_batch, device, progress of `log_probabilities`.

    Returns:
        (N,) of the stereotyping sentences and (N,) of the others, float64, for `stereotype_preference`; NaN for a pair
        that shares no token.

    Raises:
        ConfigError: as `log_probabilities`.

    Source: Nangia et al. 2020, equation 1.
    """
    hidden: list[HiddenToken] = []
    owner: list[int] = []
    n = len(pairs)
    encoded = [_encoded(tokenizer, [text(pair) for pair in pairs], max_length) for text in (_stereotyped, _other)]
    for number in range(n):
        sides = [side[number] for side in encoded]
        words = [[position for position, special in enumerate(specials) if not special] for _, specials in sides]
        shared = shared_positions(*([ids[position] for position in kept] for (ids, _), kept in zip(sides, words, strict=True)))
        for side, ((ids, _), kept, places) in enumerate(zip(sides, words, shared, strict=True)):
            hidden += [HiddenToken(ids, kept[place], ids[kept[place]]) for place in places]
            owner += [side * n + number] * len(places)
    sums, counts = _summed(log_probabilities(net, tokenizer, hidden, **settings), owner, 2 * n)
    scores = torch.where(counts > 0, sums, torch.nan)
    return scores[:n], scores[n:]


def stereoset(
    net: nn.Module, tokenizer: Any, items: Sequence[GapItem], max_length: int = 128, **settings: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Score of each word that can fill the gap of each item.

    Formula: mean probability of the word's tokens, each predicted from the context and the tokens before it.

    Args:
        items: N items.
        max_length: a word that is cut off has no score.
        settings: tokens_per_batch, device, progress of `log_probabilities`.

    Returns:
        (N,) of the stereotypes, the anti-stereotypes and the unrelated words, float64 in [0, 1], for `stereoset_scores`;
        NaN for a word without tokens.

    Raises:
        ConfigError: as `log_probabilities`; a tokenizer without offsets.

    Source: Nadeem et al. 2021, as their evaluation code scores words of several tokens.
    """
    require_offsets(tokenizer)
    words = [word for item in items for word in (item.stereotype, item.anti_stereotype, item.unrelated)]
    contexts = [item for item in items for _ in range(3)]
    texts = [item.before + word + item.after for item, word in zip(contexts, words, strict=True)]
    hidden: list[HiddenToken] = []
    owner: list[int] = []
    if texts:
        encoded = tokenizer(texts, truncation=True, max_length=max_length, return_offsets_mapping=True)
        for number, (ids, offsets) in enumerate(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)):
            start = len(contexts[number].before)
            end = start + len(words[number])
            touched = [place for place, (first, last) in enumerate(offsets) if first < end and last > start]
            for place in touched:
                context = [*ids[: place + 1], *ids[touched[-1] + 1 :]]
                hidden.append(HiddenToken(context, place, ids[place]))
                owner.append(number)
    sums, counts = _summed(log_probabilities(net, tokenizer, hidden, **settings).exp(), owner, len(texts))
    scores = (sums / counts).reshape(-1, 3)
    return scores[:, 0], scores[:, 1], scores[:, 2]


def text_log_likelihoods(
    net: nn.Module, tokenizer: Any, texts: Sequence[str], max_length: int = 128, **settings: Any
) -> tuple[Tensor, Tensor]:
    """Pseudo-log-likelihood of each text and its number of tokens, for `pseudo_perplexity`.

    Args:
        texts: N texts; longer ones are cut at `max_length` tokens.
        settings: tokens_per_batch, device, progress of `log_probabilities`.

    Returns:
        (N,) float64 and (N,) int64; special tokens are neither predicted nor counted.

    Raises:
        ConfigError: as `log_probabilities`.

    Source: Salazar et al. 2020, equation 3.
    """
    hidden: list[HiddenToken] = []
    owner: list[int] = []
    for number, (ids, specials) in enumerate(_encoded(tokenizer, texts, max_length)):
        places = [position for position, special in enumerate(specials) if not special]
        hidden += [HiddenToken(ids, place, ids[place]) for place in places]
        owner += [number] * len(places)
    return _summed(log_probabilities(net, tokenizer, hidden, **settings), owner, len(texts))


def _stereotyped(pair: SentencePair) -> str:
    return pair.stereotyped


def _other(pair: SentencePair) -> str:
    return pair.other


def _encoded(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[tuple[list[int], list[int]]]:
    """Token ids of each text, and which of them are special."""
    if not len(texts):
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, return_special_tokens_mask=True)
    return list(zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True))


def _summed(values: Tensor, owner: Sequence[int], n: int) -> tuple[Tensor, Tensor]:
    """Sum of the values of each owner, and how many it has."""
    place = torch.tensor(owner, dtype=torch.long)
    return torch.zeros(n, dtype=torch.float64).index_add_(0, place, values), torch.bincount(place, minlength=n)


@contextmanager
def _head_sees_only(encoder: nn.Module, positions: Tensor) -> Iterator[None]:
    """Cut the encoder's output down to one token of each sequence, (B, T, D) to (B, 1, D), while in force."""

    def keep(module: nn.Module, inputs: Any, output: Any) -> Any:
        states = output["last_hidden_state"]
        output["last_hidden_state"] = states[torch.arange(len(states), device=states.device), positions].unsqueeze(1)
        return output

    hook = encoder.register_forward_hook(keep)
    try:
        yield
    finally:
        hook.remove()
