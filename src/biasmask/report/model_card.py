"""The model card of a debiased model: one Markdown file to publish with the weights, and the same as JSON.

Headings follow Mitchell et al. 2019, "Model cards for model reporting"; the front matter is what Hugging Face's hub reads.
Everything comes from the run folder; neither file holds the name of an image, a row's id, or a folder of this machine.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from biasmask.errors import StoreError
from biasmask.files import write_atomically, write_json
from biasmask.report import card_model, formats
from biasmask.report.card_data import evaluation_data, training_data
from biasmask.report.card_figures import figure_tables, got_worse, verdicts
from biasmask.report.html import TEMPLATES
from biasmask.report.run_folder import MetricKey, RunFolder, load_run_folder

SCHEMA = 1
HEADLINES = ("auroc", "equalized_odds_mean", "auroc_worst_group", "accuracy", "mean_abs_effect_size")
SPECIAL = set("\\`*[]|~$#")


def write_model_card(run_dir: Path | str) -> tuple[Path, Path]:
    """Write `model_card.md` and `model_card.json` into the folder of a finished run.

    The same folder gives the same bytes. Text from tables and configs is escaped: it can't become markup.

    Args:
        run_dir: A run folder, of an image or a text model.

    Returns:
        The two files, Markdown first.

    Raises:
        StoreError: No figures, no debiased model in the folder, a file that can't be parsed, or one that can't be written.
    """
    run = load_run_folder(run_dir)
    if not run.compares:
        raise StoreError(f"{run.path}: has no debiased model, only `{run.base}`: a model card needs a run with a debias method")
    card = card_content(run)
    page = markdown_environment().get_template("model_card.md.j2").render(card=card, front_matter=Markup(front_matter(card)))
    markdown, json_file = run.path / "model_card.md", run.path / "model_card.json"
    write_atomically(markdown, page)
    write_json(json_file, card)
    return markdown, json_file


def card_content(run: RunFolder) -> dict[str, Any]:
    """All that the card says, as JSON: numbers are numbers, what is undefined is null with a reason, what is unknown null."""
    text = run.run.get("family") == "text"
    tables = figure_tables(run, text)
    data = training_data(run)
    return {
        "schema": SCHEMA,
        "family": "text" if text else "image",
        "name": card_model.card_name(run),
        "model_details": card_model.model_details(run, text),
        "intended_use": card_model.intended_use(run, text),
        "factors": card_model.factors(run),
        "metrics": card_model.metric_settings(run),
        "evaluation_data": evaluation_data(run, text),
        "training_data": data,
        "quantitative_analyses": {
            "verdicts": verdicts(run, text),
            "collapse": run.collapse,
            "tables": tables,
            "got_worse": got_worse(run, text),
            "costs": card_model.costs(run),
        },
        "ethical_considerations": card_model.ethical_considerations(run, text),
        "caveats": card_model.caveats(run, data, tables, text),
        "loading": card_model.loading(run, text),
        "reproduce": card_model.reproduce(run),
    }


def front_matter(card: dict[str, Any]) -> str:
    """The YAML block that model hubs read: library, task, tags, data, and the headline figures of each test set."""
    text = card["family"] == "text"
    task = "feature-extraction" if text else "image-classification"
    details = card["model_details"]
    results = []
    for table in card["quantitative_analyses"]["tables"]:
        found = [row for row in table["figures"] if is_headline(row) and row["after"]["value"] is not None]
        if found:
            metrics = [{"type": row["metric"], "name": row["key"], "value": row["after"]["value"]} for row in found]
            dataset = {"name": table["test_set"] if text else f"{details['data_set']} ({table['test_set']})"}
            dataset["type"] = str(details["data_set"])
            results.append({"task": {"type": task}, "dataset": dataset, "metrics": metrics})
    licence = card["training_data"]["licence"]
    content = {
        "library_name": "transformers" if text else "timm",
        "pipeline_tag": task,
        "license": "other",
        "license_name": f"data: {licence}" if licence else "not-recorded",
        "tags": [str(tag) for tag in ("biasmask", "debiasing", "fairness", details["method"]) if tag],
        "datasets": [str(details["data_set"])],
        "model-index": [{"name": card["name"], "results": results}],
    }
    written: str = yaml.safe_dump(without_brackets(content), sort_keys=False, allow_unicode=True, width=120)
    return written


def without_brackets(value: Any) -> Any:
    """The same with other signs for angle brackets: a reader that knows no front matter would take them for HTML.

    >>> without_brackets({"a": ["<b>", 1]})
    {'a': ['‹b›', 1]}
    """
    if isinstance(value, dict):
        return {key: without_brackets(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_brackets(one) for one in value]
    return value.replace("<", "‹").replace(">", "›") if isinstance(value, str) else value


def is_headline(row: dict[str, Any]) -> bool:
    key = MetricKey.parse(row["key"])
    return key.group is None and key.metric in HEADLINES


@lru_cache(maxsize=1)
def markdown_environment() -> jinja2.Environment:
    """Templates in which every printed value is escaped for Markdown, unless a filter has marked it as safe."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,  # so that a macro's result counts as written already
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        fenced=fenced, count=formats.count, duration=formats.duration, small=optional_small, figure=figure_words,
        difference=difference_words, known=known, share=lambda value: formats.percent(float(value), 0),
        number=lambda value: formats.number(float(value)),
    )  # fmt: skip
    return made


def escaped(value: object) -> Markup:
    """A value as text that Markdown and HTML show as it is, on one line.

    >>> str(escaped("a_b <b>*x*|")), str(escaped("_x_"))
    ('a_b &lt;b&gt;\\\\*x\\\\*\\\\|', '\\\\_x\\\\_')
    """
    if isinstance(value, Markup):
        return value
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    written = []
    for place, character in enumerate(text):
        inside_word = 0 < place < len(text) - 1 and text[place - 1].isalnum() and text[place + 1].isalnum()
        special = character in SPECIAL and not (character == "#" and text[place - 1 : place] == "&")
        written.append("\\" * (special or (character == "_" and not inside_word)) + character)
    return Markup("".join(written))


def fenced(text: str, language: str = "") -> Markup:
    """A code block whose fence is longer than any row of backticks inside.

    >>> print(fenced("x = 1", "python"))
    ```python
    x = 1
    ```
    """
    fence = "```"
    while fence in text:
        fence += "`"
    return Markup(f"{fence}{language}\n{text}\n{fence}")


def known(value: object) -> object:
    """A value, or the words that it is not recorded; lists are joined, yes and no are words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, "", []):
        return "not recorded"
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def optional_small(value: float | None) -> str:
    return "not recorded" if value is None else formats.small_number(float(value))


def figure_words(figure: dict[str, Any] | None) -> str:
    """A figure with its interval, or why there is none.

    >>> figure_words({"value": 0.5, "low": 0.4, "high": 0.6, "reason": None})
    '0.500 (0.400 to 0.600)'
    >>> figure_words({"value": None, "low": None, "high": None, "reason": "no positive sample"})
    'undefined: no positive sample'
    """
    return words(figure, plus=False)


def difference_words(figure: dict[str, Any] | None) -> str:
    return words(figure, plus=True)


def words(figure: dict[str, Any] | None, plus: bool) -> str:
    if figure is None:
        return "–"
    if figure["value"] is None:
        return f"undefined: {figure['reason'] or 'no reason stored'}"
    write = formats.signed if plus else formats.number
    bounds = "" if None in (figure["low"], figure["high"]) else formats.interval(figure["low"], figure["high"], plus=plus)
    reason = f"; {figure['reason']}" if figure["reason"] else ""
    return write(figure["value"]) + (f" ({bounds})" if bounds else "") + reason
