"""Markdown, LaTeX, CSV, terminal and the small JSON of a comparison: complete, escaped, without paths."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_sweep_runs import CLASSES, write_run, write_sweep
from rich.console import Console

from biasmask.errors import ConfigError
from biasmask.report.sweep_content import compare_folders
from biasmask.report.sweep_formats import compact, markdown, tidy_csv
from biasmask.report.sweep_latex import latex
from biasmask.report.sweep_terminal import print_comparison
from biasmask.report.sweep_write import links_of, write_comparison, write_for_docs

HOSTILE = "<script>alert(1)</script> | 50% & a_b \\ $x$ #1 {y} ~^"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sweep(tmp_path_factory.mktemp("formats"), seeds=(1, 2))
    write_run(folder / "hostile", "nasty", 1, label=HOSTILE, collapsed=True)
    (folder / "open").mkdir()
    (folder / "open" / "config.yaml").write_text("seed: 1\n")
    return folder


@pytest.fixture(scope="module")
def content(folder: Path) -> dict[str, Any]:
    return compare_folders([folder])


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_sweep(tmp_path_factory.mktemp("classes"), ("bmft", "full_ft"), (1, 2), classes=CLASSES)
    return compare_folders([folder])


def test_markdown_has_every_row_and_no_markup_of_names(content: dict[str, Any]) -> None:
    text = markdown(content)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert sum(line.startswith("| BMFT |") for line in tables) == 4  # figures, two differences, budget
    assert "<script>" not in text and "&lt;script&gt;" in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "Equalized" in line or "±" in line}
    assert len(widths) <= 3 and "collapsed: 1 of 1" in text and "- open: not finished" in text


def test_latex_is_escaped_and_closes_what_it_opens(content: dict[str, Any]) -> None:
    text = latex(content)
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == text.count("\\toprule") == 5
    assert text.count("\\resizebox") == 5 and "Left out: open: not finished" in text
    assert text.count("it counts as a loss") == 4 and ("$\\dagger$ another row" in text) == bool(dominated(content))
    nasty = next(line for line in text.splitlines() if "alert" in line)
    assert r"50\% \& a\_b \textbackslash{} \$x\$ \#1 \{y\} \textasciitilde{}\textasciicircum{}" in nasty
    for line in text.splitlines():
        if line.endswith("\\\\"):
            assert len(re.findall(r"(?<!\\)&", line)) in (7, 9, 10)
            assert " to " not in line or re.fullmatch(r"(\s*& (\([^()]*\))?)+ *\\\\", line), line  # intervals have a line
    assert all(ord(letter) < 128 for letter in text)


def dominated(content: dict[str, Any]) -> list[str]:
    return content["comparisons"][0]["test_sets"][0]["dominated"]  # type: ignore[no-any-return]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex isn't installed")
def test_latex_compiles(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "compare.tex").write_text(latex(content))
    page = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\\input{compare}\\end{document}"
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").is_file() and "Overfull" not in done.stdout


def test_asked_for_figures_have_their_differences_in_every_text(folder: Path) -> None:
    asked = compare_folders([folder], metrics=["fpr_gap", "tpr_gap"], n_bootstrap=0)
    for text in (markdown(asked), latex(asked)):
        assert "change of FPR gap" in text and "change of AUROC" not in text


def test_ours_against_the_random_mask_is_in_every_format(content: dict[str, Any]) -> None:
    assert "| BMFT against random mask |" in markdown(content) and "BMFT against random mask &" in latex(content)
    (row,) = [
        row for row in csv.DictReader(io.StringIO(tidy_csv(content))) if (row["method"], row["metric"]) == ("bmft", "auroc_gap")
        if row["attribute"] == "age"
    ]  # fmt: skip
    found = content["comparisons"][0]["test_sets"][0]["figures"]["bmft"]["test/auroc_gap/age"]["vs_control"]
    assert row["control"] == "random_mask" and float(row["control_value"]) == found["value"]
    assert float(row["control_p_holm"]) == found["p_holm"] and int(row["control_wins"]) == found["wins"]


def test_csv_is_tidy_and_reads_back_to_the_same_numbers(content: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(tidy_csv(content))))
    test = content["comparisons"][0]["test_sets"][0]
    assert len(rows) == sum(len(figures) for figures in test["figures"].values())
    (one,) = [
        row for row in rows
        if (row["method"], row["metric"], row["attribute"], row["group"]) == ("bmft", "equalized_odds_mean", "age", "")
    ]  # fmt: skip
    figure = test["figures"]["bmft"]["test/equalized_odds_mean/age"]
    assert float(one["mean"]) == figure["mean"] and float(one["base_p"]) == figure["vs_base"]["p"]
    assert one["reference"] == "full_ft" and float(one["reference_low"]) == figure["vs_reference"]["low"]
    assert {row["spread"] for row in rows if row["method"] == "nasty"} == {""}


def test_the_terminal_table_fits_100_columns_and_shows_names_as_they_are(content: dict[str, Any]) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    print_comparison(content, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "BMFT" in text and "p (Holm)" in text and "left out: open" in text and "w : l" in text


def test_the_small_json_is_small_and_knows_no_folder(content: dict[str, Any], tmp_path: Path) -> None:
    path = write_for_docs(content, tmp_path / "name.json")
    text = path.read_text()
    assert "patient_" not in text and "/tmp" not in text and '"folder"' not in text and json.loads(text)["skipped"] == []
    kept = json.loads(text)["comparisons"][0]["test_sets"][0]["figures"]["bmft"]
    assert "test/auroc" in kept and "test/tpr/age=below_60" in kept and "test/ece" not in kept
    value = content["comparisons"][0]["test_sets"][0]["figures"]["bmft"]["test/auroc"]["mean"]
    assert math.isclose(kept["test/auroc"]["mean"], value, abs_tol=1e-6)


def test_a_json_too_large_for_the_docs_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    big = {**content, "notes": ["x" * 300_000]}
    with pytest.raises(ConfigError, match="300,000"):
        write_for_docs(big, tmp_path / "name.json")
    assert not list(tmp_path.iterdir())


def test_all_files_are_written_and_link_to_the_runs(content: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    files = write_comparison(content, [folder], tmp_path / "out")
    assert sorted(path.suffix for path in files) == [".csv", ".html", ".json", ".md", ".tex"]
    assert all(path.stat().st_size for path in files)
    links = links_of(content, [folder], tmp_path / "out")
    assert len(links) == 7 and all((tmp_path / "out" / link).resolve().is_file() for link in links.values())
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == content


def test_several_classes_have_macro_figures_first_and_a_test_set_each(classes: dict[str, Any]) -> None:
    (one,) = classes["comparisons"]
    assert [test["key"] for test in one["test_sets"]] == ["test", *(f"test:{name}" for name in CLASSES)]
    assert [test["class"] for test in one["test_sets"]] == [None, *CLASSES]
    for test in one["test_sets"]:
        figure = test["figures"]["bmft"][test["gap"]]
        assert figure["mean"] is not None and figure["vs_base"]["n_runs"] == 2 and test["interval"] == "bootstrap"
    assert "### test:mel" in markdown(classes) and "tab:" in latex(classes)
    console = Console(width=100, record=True, file=io.StringIO())
    print_comparison(classes, console)
    assert "test:mel" not in console.export_text()
    assert len(json.dumps(compact(classes))) < 300_000
