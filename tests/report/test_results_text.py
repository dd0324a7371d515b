"""Pages of results come from their templates and the committed files, and nobody types a number."""

import json
import re
from pathlib import Path

import pytest
from fake_sweep_runs import write_sweep

from biasmask.errors import ConfigError, StoreError
from biasmask.report.results_text import render_results
from biasmask.report.sweep_content import compare_folders
from biasmask.report.sweep_write import write_for_docs
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
TEMPLATES = sorted(DOCS.glob("*.template.md"))
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    content = compare_folders([write_sweep(folder / "runs", ("bmft", "full_ft"), (1, 2))])
    write_for_docs(content, folder / "docs" / "ham.json")
    table = {"kind": "table", "header": ["", "gap"], "rows": [["base model", "0.2"], ["BMFT", "0.1"]]}
    (folder / "docs" / "old.json").write_text(json.dumps(table))
    values = {"kind": "values", "values": {"x": {"value": 0.25, "low": 0.2, "high": 0.3}}}
    (folder / "docs" / "few.json").write_text(json.dumps(values))
    return folder / "docs"


def render(template: str, folder: Path, tmp_path: Path) -> str:
    (tmp_path / "t.md").write_text(template)
    return render_results(tmp_path / "t.md", folder)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_page_is_what_its_template_gives(template: Path) -> None:
    made = render_results(template, DOCS / "results")
    part = template.name.removesuffix("_figures.template.md")
    if part != template.name:  # a part of a page, between two comments
        page = REPOSITORY / "README.md" if part == "readme" else DOCS / f"{part}.md"
        assert f"<!-- figures: docs/{template.name} -->\n{made}<!-- end of figures -->" in page.read_text(encoding="utf-8")
        return
    page = template.with_name(template.name.replace(".template", ""))
    assert made == page.read_text(encoding="utf-8"), "run: python scripts/write_results.py"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_typed_decimal_number(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|`[^`\n]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    assert [line for line in text.splitlines() if DECIMAL.search(line)] == []


def test_committed_files_are_small_and_hold_no_path() -> None:
    for file in (DOCS / "results").iterdir():
        text = file.read_text(encoding="utf-8")
        assert file.suffix == ".json" and len(text.encode()) <= 300_000 and json.loads(text)
        assert not re.search(r"/(home|root|tmp|work|Users)/|ISIC_\d", text), file.name


def test_numbers_are_those_of_the_files(results: Path, tmp_path: Path) -> None:
    content = json.loads((results / "ham.json").read_text())
    figure = content["comparisons"][0]["test_sets"][0]["figures"]["bmft"]["test/auroc"]
    text = render('{{ value("ham", "bmft", "test/auroc") }} {{ n("ham", "bmft", "test/auroc") }}', results, tmp_path)
    assert text == f"{figure['mean']:.3f} {figure['n']}"
    text = render('{{ difference("ham", "bmft", "test/auroc", "reference", 2) }}', results, tmp_path)
    assert text.startswith(("+", "\N{MINUS SIGN}", "0")) and " to " in text
    template = '{{ spread("ham", "bmft", "test/auroc") }};{{ values("ham", "bmft", "test/auroc", 2) }};{{ runs("ham", "bmft") }}'
    spread, values, runs = render(template, results, tmp_path).split(";")
    assert spread == f"{figure['spread']:.3f}" and values.count(" and ") == 1 and runs == "2"
    wins = figure["vs_base"]["wins"]
    text = render('{{ wins("ham", "bmft", "test/auroc") }}, {{ edited("ham", "bmft") }}', results, tmp_path)
    assert text == f"{wins} of 2, 4,281"
    assert render('{{ p("ham", "bmft", "test/auroc") }}', results, tmp_path).startswith("0.5 (")
    assert render('{{ interval("ham", "bmft", "test/auroc") }}', results, tmp_path).count(" to ") == 1


def test_tables_cells_and_single_values(results: Path, tmp_path: Path) -> None:
    text = render('{{ table("ham") }}', results, tmp_path)
    assert "| BMFT | 2 |" in text and "Budget and failures" in text and "Against the base model" in text
    assert render('{{ table("ham", "budget") }}', results, tmp_path).count("| BMFT |") == 1
    assert render('{{ table("old") }}', results, tmp_path) == "|  | gap |\n| --- | --- |\n| base model | 0.2 |\n| BMFT | 0.1 |"
    assert render('{{ cell("old", "BMFT", "gap") }} {{ cell("old", "base", 1) }}', results, tmp_path) == "0.1 0.2"
    assert render('{{ known("few", "x") }} {{ change("few", "x", 2) }}', results, tmp_path) == "0.250 +0.25 (+0.20 to +0.30)"


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ('value("nothing", "bmft", "test/auroc")', StoreError, "nothing.json"),
        ('value("ham", "nothing", "test/auroc")', ConfigError, "there are base"),
        ('value("ham", "bmft", "test/nothing")', ConfigError, "no figure"),
        ('difference("ham", "base", "test/auroc")', ConfigError, "no difference"),
        ('table("ham", "nothing")', ConfigError, "choose from"),
        ('table("ham", test_set="nothing")', ConfigError, "no test set"),
        ('cell("old", "nothing", "gap")', ConfigError, "0 rows"),
        ('known("few", "y")', ConfigError, "there are x"),
        ("nonsense", ConfigError, "nonsense"),
    ],
)
def test_what_is_not_there_is_told(asked: str, error: type, words: str, results: Path, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        render("{{ " + asked + " }}", results, tmp_path)
