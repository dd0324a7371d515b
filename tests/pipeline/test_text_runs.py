"""Text runs from end to end on a tiny BERT: what is written, what is kept, and that eval and exports say the same."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.conftest import CONFIGS, FinishedRun, Runner, compose_config
from tests.text import write_bert

METHODS = sorted(path.stem for path in CONFIGS.glob("debias/text/*.yaml"))
FAST = "debias.prune.optimizer={_target_: torch.optim.AdamW, lr: 0.5}"
WRITTEN = [
    *(
        "config.yaml",
        "overrides.txt",
        "command.txt",
        "environment.txt",
        "checker.json",
        "history.json",
        "stages.json",
        "run.json",
    ),
    *("metrics.json", "metrics.csv", "report.html", "debiased_hf/config.json", "debiased_hf/model.safetensors"),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path, parts: Path) -> FinishedRun:
    return Runner(tmp_path_factory.mktemp("pruned"), shared_folder).text(parts, "debias=text/block_pruning", FAST)


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 20, (3, 9), generator=torch.manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_from_end_to_end(method: str, runner: Runner, parts: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    stages = list(compose_config("train", ["experiment=debias_only", f"debias=text/{method}"], tmp_path).debias.stages)
    lr = [FAST] if "prune" in stages else []
    run = runner.text(parts, f"debias=text/{method}", *lr)
    for name in WRITTEN:
        assert (run.folder / name).is_file(), name
    assert not list(run.folder.rglob("*.part")) and not list(run.folder.rglob(".*.building"))
    records = run.read("stages.json")
    assert [record["stage"] for record in records] == stages
    assert all(record["changed_outside"] in (None, 0) for record in records)
    about, figures = run.read("run.json"), run.read("metrics.json")
    assert about["family"] == "text" and about["method"] == method
    for model in ("base", "debiased"):
        for key in ("seat6_mean/effect_size/", "seat8b_cls/effect_size/", "seat_mean/mean_abs_effect_size/", "probe/accuracy"):
            found = [value for name, value in figures["models"][model].items() if name.startswith(key)]
            assert len(found) == 1 and (found[0]["value"] is not None or found[0]["reason"]), (model, key)
        assert figures["models"][model]["held_out/debias_loss"]["value"] >= 0
    assert (run.folder / "block_mask.safetensors").is_file() == ("prune" in stages)
    net = AutoModel.from_pretrained(run.folder / "debiased_hf").eval()
    assert torch.isfinite(net(**inputs()).last_hidden_state).all()


def test_what_is_kept_is_bit_identical_and_what_went_is_zero(pruned: FinishedRun, parts: Path) -> None:
    base, after = (load_file(folder / "model.safetensors") for folder in (parts / "bert", pruned.folder / "debiased_hf"))
    zeroed = 0
    for name, old in base.items():
        new = after[name]
        assert ((new == old) | (new == 0)).all(), name
        zeroed += int(((new == 0) & (old != 0)).sum())
    assert zeroed > 0
    record = pruned.stage("prune")
    assert record["edited"] == zeroed and record["changed_outside"] == 0


def test_the_mask_file_says_what_was_cut(pruned: FinishedRun) -> None:
    masks, info = load_file(pruned.folder / "block_mask.safetensors"), pruned.read("block_mask.json")
    assert set(masks) <= {row["name"] for row in info["matrices"]}
    assert sum(int(mask.sum()) for mask in masks.values()) == info["kept"] < info["total"]
    query = next(row for row in info["matrices"] if row["name"] == "0.query")
    assert query["grid"] == [2, 2] and query["kept"] == int(masks["0.query"].sum())


def test_eval_of_the_run_gives_the_figures_of_the_training(pruned: FinishedRun, runner: Runner) -> None:
    again = runner.evaluate(pruned.folder)
    first, second = (run.read("metrics.json")["models"] for run in (pruned, again))
    for model in ("base", "debiased"):
        mine = {key: value for key, value in first[model].items() if not key.startswith("held_out/")}
        assert mine == second[model]
    assert again.read("run.json")["final"] == "debiased"


def test_eval_takes_a_folder_of_any_encoder(runner: Runner, parts: Path, tmp_path: Path) -> None:
    write_bert(tmp_path / "other", seed=3)
    few = ["text_metrics.n_draws=100", "text_metrics.n_bootstrap=10", "text_metrics.benchmarks=false"]
    paths = [f"paths.data_dir={tmp_path}", f"text_metrics.probe_table={parts / 'probe.csv'}"]
    run = runner.evaluate(tmp_path / "other", *few, *paths)
    figures = run.read("metrics.json")
    assert set(figures["models"]) == {"base"} and figures["difference"] == {}
    assert figures["models"]["base"]["seat6_mean/effect_size/gender"]["value"] is not None
    assert "</html>" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_second_run_takes_the_stage_from_the_store(pruned: FinishedRun, runner: Runner, parts: Path) -> None:
    again = runner.text(parts, "debias=text/block_pruning", FAST)
    assert again.stage("prune")["reused"] and again.figures == pruned.figures
    other = runner.text(parts, "debias=text/block_pruning", FAST, "model.debias_mode=token")
    assert not other.stage("prune")["reused"]


def test_the_same_seed_gives_the_same_mask_in_another_store(
    pruned: FinishedRun, runner: Runner, parts: Path, tmp_path: Path
) -> None:
    again = runner.text(parts, "debias=text/block_pruning", FAST, store=tmp_path / "store")
    assert not again.stage("prune")["reused"]
    first, second = (load_file(run.folder / "block_mask.safetensors") for run in (pruned, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.figures == pruned.figures


def test_random_blocks_are_as_many_and_elsewhere(pruned: FinishedRun, runner: Runner, parts: Path) -> None:
    run = runner.text(parts, "debias=text/random_blocks", FAST)
    assert run.stage("prune")["reused"]
    first, second = (load_file(r.folder / "block_mask.safetensors") for r in (pruned, run))
    assert all(int(first[name].sum()) == int(second[name].sum()) for name in first)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_the_slim_model_says_the_same(runner: Runner, parts: Path) -> None:
    from transformers import AutoModel

    from biasmask.models.slim import load_slim

    run = runner.text(parts, "debias=text/head_pruning_values_only", FAST, "debias.prune.losses.penalty=20", "debias.epochs=6")
    info = run.read("block_mask.json")
    assert info["whole_heads"], "no head was cut: the test would prove nothing"
    dense, slim = AutoModel.from_pretrained(run.folder / "debiased_hf").eval(), load_slim(run.folder / "slim_hf").eval()
    assert sum(p.numel() for p in slim.parameters()) < sum(p.numel() for p in dense.parameters())
    with torch.no_grad():
        assert_close(slim(**inputs()).last_hidden_state, dense(**inputs()).last_hidden_state, rtol=1e-5, atol=1e-5)
    assert (run.folder / "slim_hf" / "tokenizer.json").is_file()


def test_a_run_that_pruned_nothing_says_so_in_its_last_line(runner: Runner, parts: Path, capsys: Any) -> None:
    run = runner.text(parts, "debias=text/block_pruning", "debias.prune.optimizer.lr=0.001")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[-1].startswith("Nothing was pruned"), lines[-3:]
    assert any("train longer or raise optimizer.lr" in note for note in run.stage("prune")["notes"])


def test_every_block_pruned_still_gives_a_report(runner: Runner, parts: Path) -> None:
    run = runner.text(parts, "debias=text/block_pruning", "debias.prune.optimizer.lr=5", "debias.prune.losses.penalty=10000")
    info = run.read("block_mask.json")
    assert info["kept"] == 0 and info["warnings"]
    assert (run.folder / "report.html").is_file()


def test_a_masked_lm_keeps_its_head(runner: Runner, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    run = runner.text(tmp_path / "mlm", "debias=text/block_pruning", FAST, masked_lm=True)
    assert json.loads((run.folder / "debiased_hf" / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    assert torch.isfinite(AutoModelForMaskedLM.from_pretrained(run.folder / "debiased_hf")(**inputs()).logits).all()


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_prune_and_count_alike(processes: int, runner: Runner, parts: Path, tmp_path: Path) -> None:
    several = ("trainer=ddp_sim", f"trainer.devices={processes}", "debias.epochs=8")
    run = runner.text(parts, "debias=text/block_pruning", FAST, *several, store=tmp_path / "store")
    record = run.stage("prune")
    assert record["changed_outside"] == 0 and record["edited"] > 0
    assert run.read("block_mask.json")["kept"] < run.read("block_mask.json")["total"]


def test_three_groups(runner: Runner, parts: Path, tmp_path: Path) -> None:
    content = {
        "groups": {"young": ["son", "daughter"], "royal": ["king", "queen"], "other": ["man", "woman"]},
        "stereotype": ["nurse", "pilot"],
    }
    (tmp_path / "three.yaml").write_text(json.dumps(content), encoding="utf-8")
    run = runner.text(parts, "debias=text/block_pruning", FAST, f"attribute={tmp_path / 'three.yaml'}", "data.held_out=2")
    assert run.read("run.json")["group_names"] == {"three": ["young", "royal", "other"]}
    assert set(run.read("checker.json")["parts"]["train"]) == {"young", "royal", "other", "stereotype"}
    assert "seat6_mean/effect_size/three" in run.read("metrics.json")["models"]["debiased"]


@pytest.mark.slow
def test_the_export_loads_where_biasmask_is_not_imported(pruned: FinishedRun, tmp_path: Path, warm_python: Path) -> None:
    (tmp_path / "load.py").write_text(
        "import sys; from transformers import AutoModel, AutoTokenizer; folder = sys.argv[1]; "
        "net = AutoModel.from_pretrained(folder); "
        "out = net(**AutoTokenizer.from_pretrained(folder)('the old king', return_tensors='pt')).last_hidden_state; "
        "assert out.isfinite().all() and not any(name.split('.')[0] == 'biasmask' for name in sys.modules)"
    )
    command = [warm_python, tmp_path / "load.py", pruned.folder / "debiased_hf"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
