"""The page of a sweep: one HTML file with verdict, Pareto plot, groups, tables and budget of every comparison; no network."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from biasmask.files import write_atomically
from biasmask.report.formats import count, percent
from biasmask.report.html import TEMPLATES, environment
from biasmask.report.plot_budget import budget_figures
from biasmask.report.plot_groups import SMALL_CELL, group_figures
from biasmask.report.plot_pareto import pareto_plot, with_short_names
from biasmask.report.sweep_page_tables import (
    SortableTable,
    budget_table,
    candidate_table,
    difference_table,
    figure_table,
    name_of,
    set_name,
)
from biasmask.report.sweep_page_words import sweep_verdict
from biasmask.report.sweep_texts import clusters_words

STYLES, SCRIPT = ("report.css", "sweep.css"), "sweep.js"


def write_sweep_page(content: Mapping[str, Any], path: Path, links: Mapping[str, str]) -> None:
    """Write the page of compare.json.

    The same content gives the same bytes. Every string of it is escaped. The page's one script sorts tables; without it
    everything still stands there.

    Args:
        content: What compare.json holds.
        path: The file to write.
        links: Folder of a run, as in the content -> address of its report relative to the page; one with a scheme is dropped.

    Raises:
        StoreError: The file can't be written.
    """
    script = (TEMPLATES / SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment().get_template("sweep.html.j2").render(
        css=Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES)),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        title=page_title(content),
        facts=page_facts(content),
        content=content,
        comparisons=[comparison_view(content, one, links, f"c{i}") for i, one in enumerate(content["comparisons"])],
        small_cell=SMALL_CELL,
    )  # fmt: skip
    write_atomically(path, page)


def page_title(content: Mapping[str, Any]) -> str:
    titles = [str(comparison["title"]) for comparison in content["comparisons"]]
    return f"Comparison: {titles[0]}" if len(titles) == 1 else f"{len(titles)} comparisons"


def page_facts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the figures of the whole page were made."""
    rule = content.get("selection_rule")
    pairs = [
        ("Intervals", percent(float(content.get("confidence") or 0.95), 0)),
        ("Bootstrap draws", count(content.get("n_bootstrap"))),
        ("Candidates chosen by", str(rule["name"]).replace("_", " ") + ", on validation rows" if rule else "no choice was made"),
    ]
    return pairs


def comparison_view(
    content: Mapping[str, Any], comparison: Mapping[str, Any], links: Mapping[str, str], id_: str
) -> dict[str, Any]:
    """Everything that the template shows of one comparison."""
    comparison = with_short_names(comparison)
    views = [set_view(content, comparison, one, f"{id_}t{i}") for i, one in enumerate(comparison["test_sets"])]
    whole = [view for view in views if view["class"] is None]
    for view in whole:
        view["classes"] = [other for other in views if other["class"] is not None and other["name"] == view["name"]]
    named = {view["name"] for view in whole}
    return {
        "id": id_,
        "title": comparison["title"],
        "facts": comparison_facts(comparison),
        "notes": comparison.get("notes") or [],
        "test_sets": whole
        + [{**view, "classes": []} for view in views if view["class"] is not None and view["name"] not in named],
        "budget": budget_table(comparison, links),
        "selection": [{"reason": one.get("reason"), "table": candidate_table(one)} for one in comparison.get("selection") or []],
    }


def comparison_facts(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    groups = comparison.get("group_names") or {}
    units = comparison.get("units") or []
    size = comparison.get("image_size")
    backbone = comparison.get("backbone")
    pairs = [
        ("Data set", comparison.get("dataset")),
        ("Target", " / ".join(map(str, comparison.get("class_names") or []))),
        ("Debiased", ", ".join(map(str, comparison.get("attributes") or []))),
        *((f"Groups of {name}", ", ".join(map(str, own))) for name, own in groups.items()),
        ("Backbone", f"{backbone}, {size} px" if backbone and size else backbone),
        ("Runs of each method", f"{len(units)}: " + "; ".join(unit_words(unit) for unit in units) if units else None),
        ("Splits", clusters_fact(comparison)),
        ("Reference", name_of(comparison["rows"], comparison.get("reference"))),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def clusters_fact(comparison: Mapping[str, Any]) -> str | None:
    """What intervals and tests rest on where runs share splits."""
    clusters = comparison.get("clusters")
    return f"{clusters['n']}, which are drawn and tested; runs of one are no independent ones" if clusters else None


def unit_words(unit: Mapping[str, Any]) -> str:
    split = "" if unit.get("split_seed") is None else f", split {unit['split_seed']}"
    return f"seed {unit.get('seed')}{split}"


def set_view(content: Mapping[str, Any], comparison: Mapping[str, Any], test_set: Mapping[str, Any], id_: str) -> dict[str, Any]:
    tables: list[SortableTable | None] = [figure_table(comparison, test_set)]
    tables.append(difference_table(comparison, test_set, "vs_base", "the base model"))
    reference = name_of(comparison["rows"], comparison.get("reference"))
    if reference is not None:
        tables.append(difference_table(comparison, test_set, "vs_reference", reference))
    tables.append(difference_table(comparison, test_set, "vs_control", "the same at random places"))
    drawn = clusters_words(comparison)
    how = {
        "bootstrap": f"test rows and {drawn} resampled together",
        "student": f"Student's t over {drawn}; rows are not resampled",
    }
    return {
        "id": id_,
        "name": str(test_set["name"]),
        "class": test_set.get("class"),
        "title": set_name(test_set),
        "n": test_set.get("n"),
        "n_positive": test_set.get("n_positive"),
        "interval": how.get(str(test_set.get("interval")), ""),
        "verdict": sweep_verdict(content, comparison, test_set),
        "pareto": pareto_plot(comparison, test_set),
        "groups": group_figures(comparison, test_set),
        "budgets": budget_figures(comparison, test_set),
        "tables": [table for table in tables if table is not None],
        "classes": [],
    }
