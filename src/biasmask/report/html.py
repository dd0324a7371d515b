"""The report of a run: one HTML file that needs no network, no script and no other file."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from biasmask.files import write_atomically
from biasmask.report import formats, provenance
from biasmask.report.bias_map import read_bias_map
from biasmask.report.block_section import block_content
from biasmask.report.class_section import class_gaps, class_views
from biasmask.report.metric_names import SMALL_N
from biasmask.report.plot_bias_map import bias_map_content
from biasmask.report.plot_history import curve_panels
from biasmask.report.plot_intervals import StripPlot, interval_plots, model_class, test_set_plot
from biasmask.report.plot_mask import density_of, mask_map
from biasmask.report.plot_scores import histogram_figure, roc_figure
from biasmask.report.run_folder import RunFolder, load_run_folder
from biasmask.report.selection_section import stage_choices
from biasmask.report.tables import compare, make_row
from biasmask.report.time_table import time_rows
from biasmask.report.verdict import Verdict, find_gap, judge

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run_dir: Path | str) -> Path:
    """Write `report.html` into a run folder or an evaluation folder.

    The same folder gives the same bytes: no date, no random names. Strings from tables and configs are escaped.

    Args:
        run_dir: Folder with `metrics.json`; any other file may be missing: its part is left out. A folder whose `run.json`
            says `family: text` gets the report of `text_report`.

    Returns:
        Path of the report.

    Raises:
        StoreError: No figures, a file that can't be parsed, or a folder that can't be written to.
    """
    run = load_run_folder(run_dir)
    if run.run.get("family") == "text":
        from biasmask.report.text_report import write_text_report  # it builds on this module's templates

        return write_text_report(run_dir)
    page = environment().get_template("report.html.j2").render(page_content(run))
    file = run.path / "report.html"
    write_atomically(file, page)
    return file


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Templates with autoescape always on; a key that an older folder's JSON lacks is empty."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=formats.number,
        signed=formats.signed,
        count=formats.count,
        percent=formats.percent,
    )
    made.globals.update(interval=formats.interval, isolate=isolate)
    return made


def isolate(name: str) -> Markup:
    """A long dotted name that may break after its dots."""
    return Markup(".<wbr>").join(str(name).split("."))


def page_content(run: RunFolder) -> dict[str, Any]:
    """Everything that the template shows."""
    first = run.test_sets[0]
    tables = {test_set: compare(run, test_set) for test_set in run.test_sets}
    bias_map = read_bias_map(run.path)
    styles = ("report.css", *(("text.css",) if run.blocks or bias_map else ()))
    views = [(test_set, attribute) for test_set in run.test_sets for attribute in run.attributes]
    return {
        "css": Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in styles)),
        "run": run,
        "models": [(model, model_class(run, place)) for place, model in enumerate(run.models)],
        "title": title(run),
        "first": first,
        "verdicts": {test_set: judge(run, test_set) for test_set in run.test_sets},
        "other_verdicts": other_verdicts(run),
        "facts": provenance.facts(run),
        "stages": provenance.stage_rows(run),
        "times": time_rows(run),
        "untouched": provenance.untouched_note(run),
        "tables": tables,
        "small_n": SMALL_N,
        "interval_plots": [(name, plots) for name in run.debiased if (plots := interval_plots(run, tables[first], name))],
        "class_gaps": class_gaps(run),
        "class_views": class_views(run),
        "test_set_plot": gaps_by_test_set(run),
        "rocs": [figure for view in views if (figure := roc_figure(run, *view))],
        "histograms": [drawn for view in views if (drawn := histogram_figure(run, *view))],
        "mask_map": mask_map(run.mask) if run.mask else None,
        **block_content(run.blocks),
        **bias_map_content(bias_map),
        "mask_facts": provenance.mask_facts(run.mask) if run.mask else [],
        "density_of": density_of,
        "curves": curve_panels(run.history),
        "stage_choices": stage_choices(run),
        "threshold_facts": provenance.threshold_facts(run),
        "count_tables": provenance.count_tables(run),
        "other_checks": provenance.other_checks(run.checker or {}),
        "class_names": provenance.class_names(run),
    }


def title(run: RunFolder) -> str:
    """Data set, attribute and method as far as they are known, such as `ham10000 by age: bmft`."""
    dataset, method = str(run.run.get("dataset") or ""), str(run.run.get("label") or run.run.get("method") or "")
    head = " by ".join(word for word in (dataset or "Report", " and ".join(run.debiased)) if word)
    return ": ".join(word for word in (head, method) if word)


def other_verdicts(run: RunFolder) -> list[tuple[str, Verdict]]:
    """The verdicts on further test sets, and on further attributes that were debiased, each with what it speaks of."""
    found = []
    for test_set in run.test_sets:
        for attribute in run.debiased or [None]:
            if test_set != run.test_sets[0] or attribute != run.attribute:
                words = [test_set] * (len(run.test_sets) > 1) + [str(attribute)] * (len(run.debiased) > 1)
                found.append((", ".join(words), judge(run, test_set, attribute)))
    return found


def gaps_by_test_set(run: RunFolder) -> StripPlot | None:
    """The verdict's gap on every test set; None for a single one."""
    keys = [(test_set, find_gap(run, test_set)) for test_set in run.test_sets]
    rows = [(test_set, make_row(run, key)) for test_set, key in keys if key is not None]
    return test_set_plot(run, rows) if len(rows) > 1 else None
