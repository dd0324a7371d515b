"""Text runs whose method is a projection: it is kept, exported, judged, and takes nothing but what it says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from biasmask.methods.null_space import removed_rank
from biasmask.models.spans import embed_spans
from biasmask.models.text_encoder import embed_texts, load_encoder
from biasmask.pipeline.text_state import PROJECTION_FILE, TextState
from tests.conftest import FinishedRun, Runner
from tests.text import write_bert

FEW = ("debias.inlp.n_iterations=3", "debias.inlp.margin=-1")  # three directions, whatever a tiny corpus makes of chance
TEXTS = ["the old king walks .", "the nurse reads very good books today .", "a queen"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def inlp(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path, parts: Path) -> FinishedRun:
    return Runner(tmp_path_factory.mktemp("inlp"), shared_folder).text(parts, "debias=text/inlp", *FEW)


def projection_of(folder: Path) -> torch.Tensor:
    return load_file(folder / PROJECTION_FILE)["projection"]


def test_the_run_keeps_the_projection_and_no_weight_moves(inlp: FinishedRun, parts: Path) -> None:
    projection = projection_of(inlp.folder)
    assert torch.equal(projection, projection_of(inlp.folder / "debiased_hf"))
    assert removed_rank(projection) == 3 and projection.shape == (32, 32)
    base, after = (load_file(folder / "model.safetensors") for folder in (parts / "bert", inlp.folder / "debiased_hf"))
    assert set(base) == set(after) and all(torch.equal(base[name], after[name]) for name in base)
    record = inlp.stage("inlp")
    assert record["edited"] == record["changed_outside"] == 0
    assert record["label"] == "3 of 32 directions removed, null space of classifiers"
    assert any("raise n_iterations" in note for note in record["notes"])


def test_the_figures_are_those_of_projected_embeddings(inlp: FinishedRun) -> None:
    figures = inlp.read("metrics.json")
    base, debiased = figures["models"]["base"], figures["models"]["debiased"]
    for key in ("seat8_mean/effect_size/words", "seat8_cls/effect_size/words", "held_out/debias_loss"):
        assert base[key]["value"] != debiased[key]["value"], key
    assert debiased["held_out/debias_loss"]["value"] < base["held_out/debias_loss"]["value"]
    assert 0.3 < debiased["cost/cosine_mean"]["value"] < 1


def test_eval_uses_the_projection_of_a_run_and_of_a_folder(inlp: FinishedRun, runner: Runner) -> None:
    first = inlp.read("metrics.json")["models"]
    again = runner.evaluate(inlp.folder)
    for model in ("base", "debiased"):
        mine = {key: value for key, value in first[model].items() if not key.startswith("held_out/")}
        assert mine == again.read("metrics.json")["models"][model]
    assert torch.equal(projection_of(again.folder), projection_of(inlp.folder))
    state = TextState.load(str(inlp.folder / "debiased_hf"))
    assert state.projection is not None and torch.equal(state.projection, projection_of(inlp.folder))
    assert state.key != replace(state, projection=None).key


def test_the_note_of_the_export_gives_the_embeddings_that_were_judged(inlp: FinishedRun) -> None:
    folder = inlp.folder / "debiased_hf"
    code = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    encoder, tokenizer = load_encoder(str(folder))
    tokens = tokenizer(TEXTS[0], return_tensors="pt")
    names = {"encoder": encoder, "tokens": tokens}
    with torch.no_grad():
        exec(code.replace('"projection.safetensors"', repr(str(folder / PROJECTION_FILE))), names)
    judged = embed_texts(encoder, tokenizer, TEXTS[:1], projection=names["projection"])
    assert_close(names["embedding"].mean(1), judged["mean"])
    assert_close(names["embedding"][:, 0], judged["cls"])
    plain = embed_texts(encoder, tokenizer, TEXTS[:1])
    assert_close(plain["mean"] @ names["projection"], judged["mean"])
    assert not torch.allclose(plain["mean"], judged["mean"])


def test_words_in_sentences_are_projected_too(inlp: FinishedRun) -> None:
    encoder, tokenizer = load_encoder(str(inlp.folder / "debiased_hf"))
    projection = projection_of(inlp.folder)
    plain, projected = (embed_spans(encoder, tokenizer, TEXTS[:1], [[(8, 12)]], projection=p) for p in (None, projection))
    assert_close(plain @ projection, projected)


def test_the_random_control_removes_as_many_directions_and_others(inlp: FinishedRun, runner: Runner, parts: Path) -> None:
    control = runner.text(parts, "debias=text/random_projection", *FEW)
    assert control.stage("inlp")["reused"]
    mine, random = projection_of(inlp.folder), projection_of(control.folder)
    assert removed_rank(random) == removed_rank(mine) == 3 and not torch.allclose(mine, random, atol=0.05)
    other = projection_of(runner.text(parts, "debias=text/random_projection", *FEW, "seed=8").folder)
    assert not torch.allclose(other, random, atol=0.05)


def test_sentence_debias_says_how_its_pairs_were_made(runner: Runner, parts: Path) -> None:
    run = runner.text(parts, "debias=text/sentence_debias", "debias.sentence_debias.n_components=2")
    record = run.stage("sentence_debias")
    assert record["label"] == "2 of 32 directions removed, components of sentence pairs"
    assert any(note.startswith("68 of 68 sentences") and "she/he, woman/man" in note for note in record["notes"])
    assert removed_rank(projection_of(run.folder)) == 2


def test_a_random_component_alone(runner: Runner, parts: Path) -> None:
    run = runner.text(parts, "debias=text/random_component")
    assert removed_rank(projection_of(run.folder)) == 1


def test_projections_after_one_another_remain_one(runner: Runner, parts: Path) -> None:
    twice = ("+debias.again=${debias.inlp}", "debias.stages=[inlp,again]")
    projection = projection_of(runner.text(parts, "debias=text/inlp", *FEW, *twice).folder)
    assert removed_rank(projection) == 6
    assert_close(projection @ projection, projection, rtol=0, atol=1e-5)
    assert_close(projection, projection.T, rtol=0, atol=1e-5)


def test_what_can_not_work_is_one_line(runner: Runner, parts: Path, tmp_path: Path) -> None:
    alone = ["debias=text/random_projection", "debias.stages=[random]"]
    assert "needs the projection of a stage before" in runner.error(lambda: runner.text(parts, *alone))
    lists = {"groups": {"male": ["he", "man"], "female": ["she"]}, "stereotype": ["nurse"]}
    (tmp_path / "uneven.yaml").write_text(json.dumps(lists), encoding="utf-8")
    uneven = ["debias=text/sentence_debias", f"attribute={tmp_path / 'uneven.yaml'}", "data.held_out=2"]
    assert "no parallel words" in runner.error(lambda: runner.text(parts, *uneven))
    assert "pooling=max: choose" in runner.error(lambda: runner.text(parts, "debias=text/inlp", "debias.inlp.pooling=max"))
    many = ["debias=text/sentence_debias", "debias.sentence_debias.n_components=99"]
    assert "stage sentence_debias: n_components=99" in runner.error(lambda: runner.text(parts, *many))


def test_a_projection_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    from biasmask.errors import CheckpointError

    folder = write_bert(tmp_path / "bert")
    save_file({"projection": torch.eye(5)}, folder / PROJECTION_FILE)
    with pytest.raises(CheckpointError, match=r"projection of \(5, 5\), and the encoder has 32 dimensions"):
        TextState.load(str(folder))
    (folder / PROJECTION_FILE).write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="can't be read"):
        TextState.load(str(folder))
