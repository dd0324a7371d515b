"""What bad input of a text run gets: one clear line, or a named and counted exclusion; and that a killed run goes on."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Runner, compose_config, in_fork
from tests.text import sentences, text_overrides, write_bert, write_corpus

FAST = "debias.prune.optimizer={_target_: torch.optim.AdamW, lr: 0.5}"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    text_overrides(tmp_path / "parts")
    return tmp_path / "parts"


def error_of(runner: Runner, parts: Path, *overrides: str) -> str:
    return runner.error(lambda: runner.text(parts, "debias=text/block_pruning", FAST, *overrides))


def test_no_sentence_with_a_stereotype_word(runner: Runner, parts: Path) -> None:
    lines = [s for s in sentences(20) if any(word in s.split() for word in ("he", "she", "man", "woman"))]
    (parts / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    assert "no sentence of the kind stereotype" in error_of(runner, parts)


def test_a_word_of_both_genders(runner: Runner, parts: Path) -> None:
    lists = yaml.safe_load((parts / "words.yaml").read_text())
    lists["groups"]["female"].append("king")
    (parts / "words.yaml").write_text(yaml.safe_dump(lists), encoding="utf-8")
    text = error_of(runner, parts)
    assert "king" in text and "male" in text and "female" in text


def test_two_attributes_at_once(runner: Runner, parts: Path) -> None:
    text = error_of(runner, parts, "attribute=[gender,race]")
    assert "one attribute" in text and "attribute=gender" in text


def test_a_block_size_that_does_not_divide_lists_those_that_do(runner: Runner, parts: Path) -> None:
    text = error_of(runner, parts, "prune_block_size=12")
    assert "prune_block_size=12" in text and "16" in text and "8" in text


def test_a_model_folder_without_tokenizer(runner: Runner, parts: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (parts / "bert" / name).unlink()
    text = error_of(runner, parts)
    assert "no tokenizer" in text and "save_pretrained" in text


def test_a_model_folder_with_cut_off_weights(runner: Runner, parts: Path) -> None:
    file = parts / "bert" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    assert "can't be loaded" in error_of(runner, parts)


def test_a_model_name_out_of_reach(runner: Runner, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    text = error_of(runner, parts, "model.model_name=nobody/nothing")
    assert "nobody/nothing can't be loaded" in text and "folder" in text
    assert "there is no such folder" in error_of(runner, parts, "model.model_name=./nothing")


def test_a_tokenizer_without_offsets() -> None:
    from biasmask.errors import ConfigError
    from biasmask.models.text_encoder import require_offsets

    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match="tokenizer Slow gives no character offsets"):
        require_offsets(Slow())


def test_odd_lines_of_a_corpus_are_counted(runner: Runner, parts: Path) -> None:
    odd = [b"the nurse likes caf\xe9 .", b"the nurse \x00 walks .", b"the nurse " + b"walks " * 200_000 + b"."]
    with open(parts / "corpus.txt", "ab") as file:
        file.write(b"\n".join(odd) + b"\n")
    run = runner.text(parts, "debias=text/block_pruning", FAST)
    excluded = run.read("checker.json")["excluded"]
    counts = {reason: entry["count"] for reason, entry in excluded.items()}
    assert sum(counts[reason] for reason in counts if reason not in ("blank", "no_word", "several_kinds")) == 3, counts


def test_an_image_data_set_under_a_text_method(runner: Runner, tmp_path: Path) -> None:
    from biasmask.pipeline.train_run import train

    config = compose_config("train", ["experiment=debias_only", "data=rendered", f"paths.log_dir={tmp_path}"], tmp_path / "run")
    text = runner.error(lambda: train(config))
    assert "holds no sentences" in text and "data=text_corpus" in text


def test_an_encoder_that_says_the_same_of_all_sentences(runner: Runner, parts: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = parts / "bert" / "model.safetensors"
    weights = {name: torch.zeros_like(t) if name.endswith("LayerNorm.weight") else t for name, t in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    run = runner.text(parts, "debias=text/block_pruning", FAST)
    figure = run.read("metrics.json")["models"]["base"]
    seat = next(value for key, value in figure.items() if key.startswith("seat6_mean/effect_size"))
    assert seat["value"] is None and seat["reason"]
    assert "undefined" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_seat_sets_of_unequal_size(runner: Runner, parts: Path) -> None:
    folder = parts / "seat"
    folder.mkdir()
    sets = {
        "targ1": ["the nurse", "the clerk", "the baker"],
        "targ2": ["the pilot"],
        "attr1": ["she"],
        "attr2": ["he", "the king"],
    }
    content = {key: {"category": key, "examples": examples} for key, examples in sets.items()}
    (folder / "sent-weat6.jsonl").write_text(json.dumps(content), encoding="utf-8")
    run = runner.text(parts, "debias=text/block_pruning", FAST, f"metrics.seat_folder={folder}", "metrics.seat_tests=['6']")
    figure = next(v for k, v in run.read("metrics.json")["models"]["base"].items() if k.startswith("seat6_mean/effect_size"))
    assert figure["value"] is not None and figure["exact"] and 0 < figure["p_value"] <= 1


@pytest.mark.parametrize(
    "moment, number",
    [
        pytest.param("prune", signal.SIGKILL, id="prune-SIGKILL"),
        *(
            pytest.param(moment, number, id=f"{moment}-{number.name}", marks=pytest.mark.slow)
            for moment in ("prune", "judge", "export")
            for number in (signal.SIGKILL, signal.SIGINT)
            if (moment, number) != ("prune", signal.SIGKILL)
        ),
    ],
)
def test_a_run_that_is_ended_goes_on(moment: str, number: int, runner: Runner, parts: Path, tmp_path: Path) -> None:
    folder, store = tmp_path / "run", tmp_path / "store"

    def end(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), number)

    def job() -> None:
        import biasmask.pipeline.text_judging as judging
        import biasmask.pipeline.text_run as text_run
        from biasmask.modules.text_debias import TextDebiasModule

        if moment == "prune":
            TextDebiasModule.on_validation_epoch_end = end  # type: ignore[method-assign, assignment]
        elif moment == "judge":
            judging.embed_texts = end  # type: ignore[assignment]
        else:
            text_run.save_masks = end  # type: ignore[assignment]
        runner.text(parts, "debias=text/block_pruning", FAST, folder=folder, store=store)

    ended = in_fork(job, tmp_path / "output.txt")
    assert ended.code == (-signal.SIGKILL if number == signal.SIGKILL else 130), ended.output
    again = runner.text(parts, "debias=text/block_pruning", FAST, folder=folder, store=store)
    assert again.stage("prune")["reused"] == (moment != "prune")
    assert (folder / "report.html").is_file() and (folder / "debiased_hf" / "config.json").is_file()
    assert not list(store.rglob(".*.building")) and not list(folder.rglob("*.part"))
    shutil.rmtree(store)
    fresh = runner.text(parts, "debias=text/block_pruning", FAST, folder=tmp_path / "fresh", store=store)
    assert fresh.figures == again.figures


def test_a_corpus_that_grew_is_extracted_anew(runner: Runner, parts: Path) -> None:
    first = runner.text(parts, "debias=text/block_pruning", FAST)
    write_corpus(parts, 60)
    second = runner.text(parts, "debias=text/block_pruning", FAST)
    assert second.read("checker.json")["lines"] > first.read("checker.json")["lines"]
    assert not second.stage("prune")["reused"]


def test_another_model_under_the_same_name_is_noticed(runner: Runner, parts: Path) -> None:
    first = runner.text(parts, "debias=text/block_pruning", FAST)
    shutil.rmtree(parts / "bert")
    write_bert(parts / "bert", seed=5)
    second = runner.text(parts, "debias=text/block_pruning", FAST)
    assert not second.stage("prune")["reused"] and second.figures != first.figures


def test_a_probe_table_without_its_column_is_told_before_anything_trains(runner: Runner, parts: Path, tmp_path: Path) -> None:
    (parts / "probe.csv").write_text("texto,target\na,0\nb,1\n", encoding="utf-8")
    store = tmp_path / "store"
    text = runner.error(lambda: runner.text(parts, "debias=text/block_pruning", FAST, store=store))
    assert "probe.csv has no column 'text'" in text
    assert not (store / "textdebias").exists()
