"""The model card: headings, figures, front matter, escaping, nothing of patients or of this machine, code that loads weights."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from edit_json import edited, keep_one_model
from fake_text_run import write_fake_text_run
from safetensors.torch import save_file

from biasmask.errors import StoreError
from biasmask.report.model_card import write_model_card

Copy = Callable[[Path], Path]
HEADINGS = [
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data", "Quantitative analyses",
    "Ethical considerations", "Caveats and recommendations", "Reproduce",
]  # fmt: skip


def card(run_dir: Path) -> tuple[str, dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} isn't JSON")

    markdown, json_file = write_model_card(run_dir)
    text = json_file.read_text(encoding="utf-8")
    return markdown.read_text(encoding="utf-8"), json.loads(text, parse_constant=refuse)


def front_matter(markdown: str) -> dict[str, Any]:
    start, block, _ = markdown.split("---\n", 2)
    assert start == ""
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def test_headings_of_mitchell_et_al_stand_in_order(full_run: Path, copied: Copy) -> None:
    markdown, content = card(copied(full_run))
    assert re.findall(r"^## (.*)$", markdown, re.M) == HEADINGS
    assert content["schema"] == 1 and content["family"] == "image"
    assert markdown.count("```") % 2 == 0


def test_card_says_what_was_edited_and_what_came_of_it(full_run: Path, copied: Copy) -> None:
    markdown, content = card(copied(full_run))
    for text in (
        "142,310 of 289,000", "9f2c" * 16, "stopped early at epoch 7", "balanced accuracy on the split val", "60_and_over",
        "python src/train.py experiment=bmft_ham10000 attribute=age seed=1", "torch 2.14", "equalized-odds gap fell",
        "| V-VI | 1,455 | 0 (few) |",
    ):  # fmt: skip
        assert text in markdown, text
    row = next(r for r in content["quantitative_analyses"]["tables"][0]["figures"] if r["key"] == "test/equalized_odds_mean/age")
    assert row["difference"]["high"] < 0 and row["n"] > 800
    assert row["before"]["value"] > row["after"]["value"]


def test_every_figure_of_the_run_stands_in_the_card(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    _, content = card(run_dir)
    stored = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    rows = {row["key"]: row for table in content["quantitative_analyses"]["tables"] for row in table["figures"]}
    assert rows.keys() == stored["models"]["debiased"].keys()
    for key, row in rows.items():
        assert row["before"]["value"] == stored["models"]["base"][key]["value"]
        assert row["after"]["reason"] == stored["models"]["debiased"][key]["reason"]


def test_undefined_figures_have_their_reason_and_few_rows_are_marked(full_run: Path, copied: Copy) -> None:
    markdown, content = card(copied(full_run))
    row = next(r for r in content["quantitative_analyses"]["tables"][0]["figures"] if r["key"] == "test/tpr/skin_tone=V-VI")
    assert row["after"]["value"] is None and row["few"] and row["rests_on"] == 0
    assert "undefined: no positive sample in V-VI" in markdown and "(few: 0)" in markdown
    assert "nan" not in re.findall(r"[a-z]+", markdown.lower())


def test_groups_that_got_worse_are_listed(full_run: Path, copied: Copy) -> None:
    markdown, content = card(copied(full_run))
    worse = content["quantitative_analyses"]["got_worse"]
    assert worse and all(row["test_set"] == "test" for row in worse)
    part = markdown.split("### What got worse")[1].split("###")[0]
    assert part.count("\n- ") == len(worse)


def test_front_matter_is_yaml_that_a_hub_reads(full_run: Path, hostile_run: Path, copied: Copy) -> None:
    found = front_matter(card(copied(full_run))[0])
    assert found["library_name"] == "timm" and found["pipeline_tag"] == "image-classification" and "biasmask" in found["tags"]
    metrics = found["model-index"][0]["results"][0]["metrics"]
    assert {"type", "name", "value"} == set(metrics[0]) and metrics[0]["type"] == "auroc"


def test_names_cannot_become_markup(hostile_run: Path, copied: Copy) -> None:
    run_dir = copied(hostile_run)
    with edited(run_dir / "run.json") as run:
        run["label"] = "x | y\n# heading <b>b</b> ``` [link](javascript:1)"
        run["backbone"] = "a') or __import__('os').system('x') #\n```"
    markdown, _ = card(run_dir)
    assert front_matter(markdown)["library_name"] == "timm"
    assert "<script" not in markdown and "<img" not in markdown and "<b>" not in markdown and "{{ 7 }}" in markdown
    assert re.findall(r"^## (.*)$", markdown, re.M) == HEADINGS
    assert "\n# heading" not in markdown.split("---\n", 2)[2].replace("\n# a'", "")
    assert "[link](" not in markdown.split("---\n", 2)[2]
    code = re.search(r"^(`{4,})python\n(.*?)^\1$", markdown, re.M | re.S)
    assert code is not None
    compile(code[2], "card", "exec")  # the name is a string in it


def test_card_names_no_image_and_no_folder_of_this_machine(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    (run_dir / "command.txt").write_text("python src/train.py paths.data_dir=/home/me/data data.table=~/clinic.csv\n")
    with edited(run_dir / "stages.json") as stages:
        stages[0]["notes"] = ["weights of /home/me/mine.pt"]
    write_model_card(run_dir)
    for name in ("model_card.md", "model_card.json"):
        text = (run_dir / name).read_text(encoding="utf-8")
        assert "ISIC_" not in text and "img_0" not in text and "/home" not in text and "~/" not in text
        assert ".../data" in text and ".../mine.pt" in text


def test_several_classes_attributes_and_test_sets(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    with edited(run_dir / "metrics.json") as metrics:
        for entries in (*metrics["models"].values(), metrics["difference"]):
            for key in list(entries):
                entries[key.replace("test/", "test:mel/", 1)] = entries[key]
                entries[key.replace("test/", "clinic/", 1)] = entries[key]
        metrics["threshold"] |= {"base": {"mel": 0.2, "nv": 0.7}, "debiased": {"mel": 0.3, "nv": 0.6}}
        metrics["collapse"] = {"collapsed": False, "text": "not collapsed: AUROC 0.92", "split": "val"}
    with edited(run_dir / "run.json") as run:
        run |= {
            "attributes": ["age", "skin_tone"],
            "needs_attribute": True,
            "extra_tests": ["clinic"],
            "debias_share": 0.25,
            "debias_rows": 300,
        }
    selection = {"repair": {"rule": "smallest_gap", "candidates": [1, 2, 3], "chosen": 1, "reason": "smallest gap"}}
    (run_dir / "selection.json").write_text(json.dumps(selection), encoding="utf-8")
    markdown, content = card(run_dir)
    assert "### test, class mel against the others" in markdown and "### clinic" in markdown
    assert "Threshold of debiased: mel 0.300, nv 0.600." in markdown
    assert "Prediction needs the sensitive attribute of each person" in markdown
    assert [factor["debiased"] for factor in content["factors"]] == [True, True]
    assert "Stage repair: 1, by the rule smallest_gap among 3 candidates on validation rows: smallest gap." in markdown
    assert [verdict["test_set"] for verdict in content["quantitative_analyses"]["verdicts"]] == ["test", "clinic"]
    assert "not collapsed: AUROC 0.92" in markdown and "debias split that was used: 25 %, 300 rows" in markdown.replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_text_run(tmp_path: Path) -> None:
    markdown, content = card(write_fake_text_run(tmp_path / "run"))
    assert content["family"] == "text" and front_matter(markdown)["library_name"] == "transformers"
    assert re.findall(r"^## (.*)$", markdown, re.M) == HEADINGS
    for text in ('AutoModel.from_pretrained("debiased_hf")', "SEAT 6b, \\[CLS\\] pooling: Effect size d",
                 "1,234,567 of 22,713,216",
                 "Sentences, train: male 4,000", "the encoder has no masked-LM head", "SEAT 7b"):  # fmt: skip
        assert text in markdown, text
    assert "Clinical" not in markdown
    assert "<script" not in card(write_fake_text_run(tmp_path / "hostile", hostile=True))[0]


def test_loading_code_runs_and_gives_a_score(full_run: Path, copied: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = copied(full_run)
    net = timm.create_model("test_resnet", num_classes=3)
    torch.save(net.state_dict(), run_dir / "debiased_timm.pt")
    hyper = {"backbone": "test_resnet", "num_outputs": 3, "mean": [0.5] * 3, "std": [0.2] * 3, "model_args": {}, "image_size": 32}
    (run_dir / "checkpoints").mkdir()
    weights = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": hyper}, run_dir / "checkpoints" / "debiased.ckpt")
    delta = {"fc.weight:index": torch.tensor([1, 5]), "fc.weight:bits": torch.tensor([3, 4], dtype=torch.int32)}
    save_file(delta, run_dir / "delta.safetensors", {"base": "a" * 64, "debiased": "b" * 64})
    with edited(run_dir / "run.json") as run:
        run |= {"image_size": 32}
    _, content = card(run_dir)
    details = content["model_details"]
    assert details["parameters"] == sum(tensor.numel() for tensor in net.state_dict().values())
    assert (details["changed_entries"], details["weights_before"], details["weights_after"]) == (2, "a" * 64, "b" * 64)
    assert content["loading"]["exists"]
    monkeypatch.chdir(run_dir)
    found: dict[str, Any] = {}
    exec(content["loading"]["code"], found)
    assert found["score"].shape == (1, 3) and torch.allclose(found["score"].sum(), torch.tensor(1.0))


def test_same_folder_gives_the_same_bytes(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    first = [file.read_bytes() for file in write_model_card(run_dir)]
    assert first == [file.read_bytes() for file in write_model_card(run_dir)]


def test_run_without_a_debiased_model_has_no_card(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    keep_one_model(run_dir)
    with pytest.raises(StoreError, match="has no debiased model"):
        write_model_card(run_dir)
