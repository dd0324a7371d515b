"""Make each docs/NAME.md that has a docs/NAME.template.md, with the files of docs/results/: python scripts/write_results.py

A template holds the words and no result: its tables and numbers come from the JSON files, which scripts/compare_runs.py
makes of run folders. docs/readme_figures.template.md is a part of README.md, between two comments. `--check` writes nothing and
fails if a page isn't what its template gives.
"""

import argparse
import sys
from pathlib import Path

from biasmask.errors import BiasmaskError, ConfigError
from biasmask.files import write_atomically
from biasmask.report.results_text import render_results

DOCS = Path(__file__).resolve().parents[1] / "docs"
README_PART = "readme_figures.template.md"
MARKS = ("<!-- figures: docs/readme_figures.template.md -->\n", "<!-- end of figures -->\n")


def page_of(template: Path) -> Path:
    return DOCS.parent / "README.md" if template.name == README_PART else DOCS / template.name.replace(".template", "")


def whole(page: Path, text: str) -> str:
    """The page with the text in it: between the marks of README.md, else the text alone."""
    if page.name != "README.md":
        return text
    before, found, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, ended, after = rest.partition(MARKS[1])
    if not found or not ended:
        raise ConfigError(f"README.md: one of the comments {MARKS[0].strip()} and {MARKS[1].strip()} is missing")
    return before + found + text + ended + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    stale = 0
    try:
        for template in sorted(DOCS.glob("*.template.md")):
            page = page_of(template)
            text = whole(page, render_results(template, DOCS / "results"))
            if not check:
                write_atomically(page, text)
                print(page)
            elif not page.is_file() or page.read_text(encoding="utf-8") != text:
                stale += 1
                print(f"{page.relative_to(DOCS.parent)} is out of date: python scripts/write_results.py")
            else:
                print(f"{page.relative_to(DOCS.parent)} is up to date")
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
