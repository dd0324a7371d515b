"""The HTML report: structure, escaping, no network, undefined figures, missing files, determinism, size."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from edit_json import edited, keep_one_model

from biasmask.errors import StoreError
from biasmask.report.html import write_report

Copy = Callable[[Path], Path]
VOID = {"meta", "br", "wbr"}


class Outline(HTMLParser):
    """Collects tags, headings, ids, attributes that could load something, and tags left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unlabelled: list[str] = []
        self.open: list[str] = []
        self.broken: list[str] = []
        self.headings: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if found.get("id") else []
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "srcset", "data")]
        if tag == "svg" and "aria-hidden" not in found and not found.get("aria-label") and "overflow" not in found:
            self.unlabelled.append(str(found))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data.strip())


def read(run_dir: Path) -> str:
    return write_report(run_dir).read_text(encoding="utf-8")


def test_sections_stand_in_order_and_tags_are_balanced(full_run: Path) -> None:
    outline = Outline(read(full_run))
    assert outline.headings == [
        "ham10000 by age: bmft", "What was done", "Before and after", "ROC curves by group", "Scores by group",
        "The map: where the mask lies", "Training curves", "Threshold", "Data", "Reproduce",
    ]  # fmt: skip
    assert not outline.broken and not outline.open
    assert len(outline.ids) == len(set(outline.ids))
    assert not outline.unlabelled


def test_page_says_what_was_done_and_how_to_repeat_it(full_run: Path) -> None:
    page = read(full_run)
    for text in (
        '<html lang="en">', "142,310 of 289,000 (49.2", "6 min 53 s, reused", "stopped early at epoch 7", "0.0137",
        "balanced accuracy", "python src/train.py experiment=bmft_ham10000 attribute=age seed=1", "edit_fraction: 0.5",
        "image file not found", "fewer than 10", "prefers-color-scheme: dark",
    ):  # fmt: skip
        assert text in page, text


def test_page_loads_nothing_and_runs_nothing(full_run: Path, hostile_run: Path) -> None:
    for run_dir in (full_run, hostile_run):
        page = read(run_dir)
        outline = Outline(page)
        assert all(link.startswith("#") for link in outline.links)
        assert {link[1:] for link in outline.links} <= set(outline.ids)
        assert not {"script", "img", "iframe", "link", "object", "embed"} & set(outline.tags)
        assert not re.search(r"https?://|@import|url\(|javascript:|\son\w+=", page)
        assert "default-src 'none'" in page


def test_names_from_tables_are_text(hostile_run: Path) -> None:
    page = read(hostile_run)
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;script&gt;alert(2)" in page  # config.yaml
    assert "alert(3)" in page  # a layer's name
    assert "{{ 7 }}" in page  # not run as a template
    assert not Outline(page).broken


def test_undefined_has_its_reason_and_is_no_zero(full_run: Path) -> None:
    page = read(full_run)
    row = re.search(r'<tr><th scope="row">TPR \(sensitivity\), V-VI.*?</tr>', page, re.S)
    assert row is not None
    assert row[0].count(">undefined<") == 3  # base, debiased, difference
    assert "no positive sample in V-VI" in row[0] and "0.000" not in row[0]
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S).lower().replace("&#", "").split()


def test_caution_of_a_defined_figure_is_shown(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    with edited(run_dir / "metrics.json") as metrics:
        metrics["models"]["debiased"]["test/equalized_odds_mean/age"]["reason"] = "incomplete: group V has no positive"
    assert read(run_dir).count("incomplete: group V has no positive") >= 2  # in the verdict and in the table


def test_a_masked_step_that_changed_nothing_is_not_credited(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    assert "changed no parameter" not in read(run_dir)
    with edited(run_dir / "stages.json") as stages:
        stages[2]["edited"] = 0
    assert read(run_dir).count("(impair) changed no parameter") == 2  # beside the verdict and beside the map


def test_changes_outside_the_mask_stand_out(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    with edited(run_dir / "stages.json") as stages:
        stages[2]["changed_outside"] = 17
    assert '<td class="worse">17</td>' in read(run_dir)


def test_small_samples_are_marked(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    with edited(run_dir / "metrics.json") as metrics:
        metrics["models"]["debiased"]["test/tpr/age=below_60"] |= {"n": 200, "n_positive": 12}
    page = read(run_dir)
    assert "rests on 12" in page and "(fewer than 30)" in page


def test_folder_of_one_model(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    keep_one_model(run_dir)
    outline = Outline(page := read(run_dir))
    assert outline.headings == [
        "Report by age", "Figures", "ROC curves by group", "Scores by group", "Threshold", "Reproduce",
    ]  # fmt: skip
    assert "One model, no comparison" in page and "Difference" not in page and "debiased" not in page


def test_folder_with_figures_only(full_run: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes((full_run / "metrics.json").read_bytes())
    assert Outline(read(tmp_path)).headings == ["Report by age", "Before and after", "Threshold", "Reproduce"]


def test_folder_without_mask_or_attribute(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    (run_dir / "mask.json").unlink()
    with edited(run_dir / "run.json") as run:
        run["attribute"] = None
        run["group_names"] = {}
    with edited(run_dir / "metrics.json") as metrics:
        for entries in (*metrics["models"].values(), metrics["difference"]):
            for key in [key for key in entries if key.count("/") > 1]:
                del entries[key]
    page = read(run_dir)
    assert "No gap was computed on test" in page and "The map" not in page


def test_several_test_sets(two_sets_run: Path) -> None:
    page = read(two_sets_run)
    assert "Gaps per test set" in page and "<strong>fitzpatrick17k:</strong>" in page
    assert "Test set: fitzpatrick17k." in page


def test_evaluation_on_another_split_name(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    text = (run_dir / "metrics.json").read_text(encoding="utf-8").replace('"test/', '"ddi/')
    (run_dir / "metrics.json").write_text(text, encoding="utf-8")
    for file in (run_dir / "predictions").iterdir():
        file.rename(file.with_name(file.name.replace("_test", "_ddi")))
    assert "Test set: ddi." in read(run_dir)


def test_soft_mask_and_many_tensors(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    with edited(run_dir / "mask.json") as mask:
        mask |= {"kind": "soft", "threshold": None, "selected": None}
        mask["tensors"] = [
            {"name": f"blocks.{i // 12}.attn.{i}.weight", "shape": [8, 8], "parameters": 64, "selected": 32.5, "density": 0.5}
            for i in range(300)
        ]
        mask["tensors"][7]["density"] = None
    page = read(run_dir)
    assert "All 300 tensors" in page and page.count('class="map-row"') <= 26


def test_two_writes_give_equal_bytes_below_a_megabyte(two_sets_run: Path) -> None:
    first = write_report(two_sets_run).read_bytes()
    assert write_report(two_sets_run).read_bytes() == first
    assert len(first) < 400_000
    assert not list(two_sets_run.glob(".*.part"))


@pytest.mark.parametrize("content", [None, "{", "{}", '{"models": {}}'])
def test_folder_without_figures_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=r"metrics\.json") as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_predictions_are_named(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    (run_dir / "predictions" / "base_test.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(StoreError, match=r"base_test\.parquet"):
        write_report(run_dir)


def test_json_with_null_everywhere(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    empty = {"value": None, "low": None, "high": None, "n": 0, "n_positive": 0, "reason": "no row"}
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    for entries in (*metrics["models"].values(), metrics["difference"]):
        entries.update(dict.fromkeys(entries, empty))
    (run_dir / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert "be compared: no row" in read(run_dir)
