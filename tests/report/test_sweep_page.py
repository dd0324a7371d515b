"""The page of a sweep: verdict, structure, escaping, no network; and in a real browser: sorting, width, print, names."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, NO_CHROMIUM, print_page, run_in_page
from fake_sweep import fake_sweep
from test_report_html import Outline

from biasmask.report.plot_labels import Box, place_labels
from biasmask.report.plot_pareto import pareto_plot, placed_estimate, with_short_names
from biasmask.report.sweep_page import write_sweep_page
from biasmask.report.sweep_page_words import sweep_verdict

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
LINKS = {"bmft-1": "0/report.html", "bmft-2": "javascript:alert(4)", "full_ft-1": "https://example.org/report.html"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sweep") / "compare.html"
    write_sweep_page(fake_sweep(), file, LINKS)
    return file


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hostile") / "compare.html"
    write_sweep_page(fake_sweep(hostile=True), file, LINKS)
    return file


def verdict_of(content: dict[str, Any]) -> Any:
    comparison = with_short_names(content["comparisons"][0])
    return sweep_verdict(content, comparison, comparison["test_sets"][0])


def test_verdict_names_what_differs_what_does_not_and_what_failed() -> None:
    verdict = verdict_of(fake_sweep())
    assert verdict.state == "fell"
    assert "smaller than the base model's with BMFT edit_fraction=0.01" in verdict.headline
    assert "Not distinguishable from the base model: random mask." in verdict.headline
    text = " ".join(verdict.sentences)
    assert "collapsed to a model that no longer tells anything: BMFT as published (3 of 3 runs)" in text
    assert "BMFT as published" not in verdict.headline  # the smallest gap of all, and no success
    assert "Against full fine-tuning, the gap is" in text and "4 of 5 intervals" in verdict.headline
    assert "Against random mask, the gap is not distinguishable with BMFT" in text
    assert "AUROC fell with" in text or "AUROC rose with" in text
    assert "can't show a difference here: its smallest p is 0.250" in text


def test_verdict_says_so_when_nothing_differs_from_chance() -> None:
    verdict = verdict_of(fake_sweep(chance=True))
    assert verdict.state == "unclear"
    assert verdict.headline.startswith("No method's equalized-odds gap (mean) is distinguishable from the base model's (0 of 5")
    assert "uncorrected" in verdict.headline and "chance" not in verdict.headline


@pytest.mark.parametrize(
    ("p_holm", "low", "high", "said"),
    [
        (0.01, -0.3, -0.1, "agrees (p below 0.05 after Holm's correction) for BMFT"),
        (
            0.01,
            -0.3,
            0.1,
            "disagree for BMFT edit_fraction=0.01: the sign-flip test over runs shows a difference, the interval none",
        ),
        (0.2, -0.3, -0.1, "disagree for BMFT edit_fraction=0.01: the interval leaves out 0, and the sign-flip test"),
    ],
)
def test_the_test_agrees_only_where_the_interval_says_the_same(p_holm: float, low: float, high: float, said: str) -> None:
    content = fake_sweep()
    one = content["comparisons"][0]["test_sets"][0]
    for row, found in one["figures"].items():
        if row != "base":
            found[one["gap"]]["vs_base"] |= {"n_runs": 12, "p": 0.5, "p_holm": 1.0, "low": -1.0, "high": 1.0}
    one["figures"]["bmft"][one["gap"]]["vs_base"] |= {"p_holm": p_holm, "low": low, "high": high}
    text = " ".join(verdict_of(content).sentences)
    assert said in text and ("agrees" in text) == (said.startswith("agrees"))


def test_nothing_is_gained_from_a_reference_that_collapsed() -> None:
    content = fake_sweep()
    next(row for row in content["comparisons"][0]["rows"] if row["id"] == "full_ft")["collapsed"] = 1
    text = " ".join(verdict_of(content).sentences)
    assert "Against full fine-tuning no gap is compared: it collapsed in 1 of 3 runs." in text


def test_the_legend_says_what_dominated_means_and_the_place_of_a_row_is_drawn() -> None:
    comparison = with_short_names(fake_sweep()["comparisons"][0])
    one = comparison["test_sets"][0]
    plot = pareto_plot(comparison, one)
    assert plot is not None and any("at least as good in both means and better in one" in words for _, words in plot.legend)
    moved = placed_estimate({**one, "places": {"bmft": {"gap": 0.18, "quality": None}}}, "bmft", "gap")
    assert (moved.value, moved.low, moved.high) == pytest.approx((0.18, 0.15, 0.21))
    assert placed_estimate(one, "bmft", "gap").value == 0.08


def test_verdict_when_all_collapsed_and_when_there_is_only_the_base_model() -> None:
    content = fake_sweep()
    for row in content["comparisons"][0]["rows"][1:]:
        row["collapsed"] = 3
    assert verdict_of(content).state == "collapsed"
    content["comparisons"][0]["test_sets"][0]["order"] = ["base"]
    assert verdict_of(content).state == "undefined"


def test_page_is_one_file_without_network_and_well_formed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    outline = Outline(text)
    assert not outline.broken and not outline.open and not outline.unlabelled
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.links == ["0/report.html"]  # neither a scheme nor a host
    assert outline.tags.count("script") == 1 and "img" not in outline.tags and "link" not in outline.tags
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    assert not re.search(r"https?://|@import|javascript:|\son\w+=", body)
    assert "script-src 'sha256-" in text and len(text) < 400_000


def test_undefined_figures_and_small_cells_are_shown_with_the_reason(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "V-VI" in text and "undefined (no positive sample)" in text and "rests on 0" in text and "(fewer than 10)" in text
    assert "1 of 3" in text and "no run.json: not finished" in text and "no gap on validation rows" in text
    assert "nan" not in re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S).lower().split()


def test_names_from_the_content_are_text(hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    assert text.count("<script") == 1 and "<img" not in text and "<b>skin" not in text and "<i>mel" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "{{ 7 }}" in text
    assert not Outline(text).broken


def test_same_content_gives_the_same_bytes_and_is_left_as_it_was(tmp_path: Path) -> None:
    content = fake_sweep()
    before = copy.deepcopy(content)
    for name in ("a.html", "b.html"):
        write_sweep_page(content, tmp_path / name, LINKS)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert content == before


def test_no_comparison_gives_a_page_that_says_so(tmp_path: Path) -> None:
    write_sweep_page({**fake_sweep(), "comparisons": []}, tmp_path / "empty.html", {})
    assert "No two runs of these folders can be compared." in (tmp_path / "empty.html").read_text(encoding="utf-8")


def test_labels_neither_overlap_nor_leave_the_plot() -> None:
    area = Box(50, 10, 350, 360)
    points = [(120 + 9 * (i % 4), 100 + 8 * (i // 4)) for i in range(16)]  # all in one corner
    boxes = place_labels(points, [(110, 16)] * 16, area)
    assert all(box.within(area) for box in boxes)
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i])


SORT = """
const table = document.querySelector("table.sortable"), header = table.tHead.rows[0].cells[2];
const button = header.querySelector("button"), buttons = table.querySelectorAll("thead button").length;
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[2].dataset.sort);
const found = {before: header.getAttribute("aria-sort"), focusable: button.tabIndex, buttons};
button.click(); found.up = order(); found.state_up = header.getAttribute("aria-sort");
button.click(); found.down = order(); found.state_down = header.getAttribute("aria-sort");
found.said = table.parentElement.querySelector("[role=status]").textContent;
table.tBodies[0].rows[1].cells[2].dataset.sort = "";
button.click(); found.undefined_up = order().at(-1); button.click(); found.undefined_down = order().at(-1);
table.tHead.rows[0].cells[0].querySelector("button").click();
found.names = [...table.tBodies[0].rows].map((row) => row.cells[0].dataset.sort);
found.others = [...table.tHead.rows[0].cells].filter((cell) => cell.getAttribute("aria-sort") !== "none").length;
return found;
"""

NAMES = """
document.querySelectorAll("details").forEach((one) => { one.open = true; });
const parts = [...document.querySelectorAll("a, button, input, select, summary")];
const said = (one) => (one.ariaLabel || one.textContent).trim();
const unnamed = [...parts.filter((one) => !said(one)), ...parts.slice(0, 12).filter((one) => !one.computedName.trim())];
const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5")].map((one) => Number(one.tagName[1]));
const regions = [...document.querySelectorAll("[role=region], section, nav")];
const pictures = [...document.querySelectorAll("svg:not(svg svg):not([aria-hidden=true])")];
return {
  regions: regions.filter((one) => !one.ariaLabel && !document.getElementById(one.getAttribute("aria-labelledby"))).length,
  pictures: pictures.length, unlabelled: pictures.filter((one) => one.role !== "img" || one.ariaLabel.length < 20).length,
  parts: parts.length, unnamed: unnamed.map((one) => one.outerHTML.slice(0, 120)),
  tables: [...document.querySelectorAll("table")].filter((one) => !one.caption).length,
  scopes: [...document.querySelectorAll("th")].filter((one) => !one.scope).length,
  main: document.querySelectorAll("main").length, lang: document.documentElement.lang,
  jumps: headings.filter((level, place) => place && level > headings[place - 1] + 1).length,
};
"""

WIDTH = """
document.querySelectorAll("details").forEach((one) => { one.open = true; });
const wide = [...document.querySelectorAll("main *")].filter((one) => !one.closest(".scroll") && !one.closest("svg")
  && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 100));
const letters = [...document.querySelectorAll("svg.pareto text")].filter((one) => one.checkVisibility())
  .map((one) => parseFloat(getComputedStyle(one).fontSize) * one.ownerSVGElement.getBoundingClientRect().width
    / one.ownerSVGElement.viewBox.baseVal.width);
return {scroll: document.documentElement.scrollWidth, inner: innerWidth, wide, smallest: Math.min(...letters)};
"""


@needs_browser
def test_a_press_on_a_header_sorts_and_says_so(page: Path, tmp_path: Path) -> None:
    found = run_in_page(page, SORT, tmp_path / "browser")[0]
    up = [float(value) for value in found["up"]]
    assert up == sorted(up) and [float(v) for v in found["down"]] == up[::-1]
    assert (found["before"], found["state_up"], found["state_down"]) == ("none", "ascending", "descending")
    assert found["buttons"] == 5 and found["focusable"] == 0 and found["others"] == 1
    assert found["said"] == "Sorted by Equalized-odds gap (mean), descending."
    assert found["undefined_up"] == "" and found["undefined_down"] == ""
    assert found["names"] == sorted(found["names"], key=str.lower)


@needs_browser
def test_nothing_runs_out_of_a_narrow_page(page: Path, tmp_path: Path) -> None:
    widths = (320, 400, 700, 1100)
    for width, found in zip(widths, run_in_page(page, WIDTH, tmp_path / "browser", widths), strict=True):
        assert found["inner"] == width and found["scroll"] <= width, width
        assert not found["wide"], width
        assert found["smallest"] > 8, width  # letters of the plot, in pixels


@needs_browser
def test_every_part_has_a_name_for_screen_readers(page: Path, hostile_page: Path, tmp_path: Path) -> None:
    for place, file in enumerate((page, hostile_page)):
        found = run_in_page(file, NAMES, tmp_path / str(place))[0]
        assert found["parts"] > 50
        assert not found["unnamed"] and found["pictures"] > 20
        assert (found["unlabelled"], found["regions"]) == (0, 0)
        assert (found["tables"], found["scopes"], found["main"], found["lang"], found["jumps"]) == (0, 0, 1, "en", 0)


@needs_browser
def test_page_can_be_printed(page: Path, tmp_path: Path) -> None:
    printed = print_page(page, tmp_path / "browser")
    assert printed.startswith(b"%PDF") and len(printed) > 20_000
