"""The files of a comparison of runs, side by side in one folder."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from biasmask.errors import ConfigError
from biasmask.files import write_atomically, write_json
from biasmask.report.sweep_formats import compact, markdown, tidy_csv
from biasmask.report.sweep_latex import latex
from biasmask.report.sweep_page import write_sweep_page
from biasmask.report.sweep_runs import common_root
from biasmask.report.sweep_texts import Content

LARGEST_FOR_DOCS = 300_000  # bytes


def write_comparison(content: Content, folders: Sequence[Path | str], out: Path) -> list[Path]:
    """Write compare.html, .md, .csv, .tex and .json.

    Args:
        content: of `compare_folders`.
        folders: that it was made of; the page links to the runs' reports in them.
        out: folder of the files, made if it isn't there.

    Returns:
        The files; the page is the first.

    Raises:
        StoreError: the folder can't be written.
    """
    texts = {"md": markdown(content), "csv": tidy_csv(content), "tex": latex(content)}
    for ending, text in texts.items():
        write_atomically(out / f"compare.{ending}", text)
    write_json(out / "compare.json", content)
    write_sweep_page(content, out / "compare.html", links_of(content, folders, out))
    return [out / f"compare.{ending}" for ending in ("html", "md", "csv", "tex", "json")]


def links_of(content: Content, folders: Sequence[Path | str], out: Path) -> dict[str, str]:
    """Address of each run's report relative to the page; a run without a report has none."""
    root = common_root(folders)
    names = {run["folder"] for comparison in content["comparisons"] for row in comparison["rows"] for run in row["runs"]}
    pages = {name: root / name / "report.html" for name in names}
    return {name: Path(os.path.relpath(page, out.resolve())).as_posix() for name, page in sorted(pages.items()) if page.is_file()}


def write_for_docs(content: Content, path: Path) -> Path:
    """Write the shown figures alone, for a repository: no folder of a machine, no row of a patient.

    Raises:
        ConfigError: more than 300 kB.
        StoreError: the file can't be written.
    """
    text = json.dumps(compact(content), separators=(",", ":"), allow_nan=False) + "\n"
    if len(text.encode()) > LARGEST_FOR_DOCS:
        size = f"{len(text.encode()):,} bytes, more than {LARGEST_FOR_DOCS:,}"
        raise ConfigError(f"{path.name} would have {size}: name fewer figures by --metrics")
    write_atomically(path, text)
    return path
