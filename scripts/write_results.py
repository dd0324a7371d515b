"""Make each docs/NAME.md that has a docs/NAME.template.md, with the files of docs/results/: python scripts/write_results.py

A template holds the words and no result: its tables and numbers come from the JSON files, which scripts/compare_runs.py
makes of run folders. docs/readme_figures.template.md is a part of README.md, between two comments, and
docs/NAME_figures.template.md one of docs/NAME.md. `--check` writes nothing and fails if a page isn't what its template gives.
"""

import argparse
import sys
from pathlib import Path

from biasmask.errors import BiasmaskError, ConfigError
from biasmask.files import write_atomically
from biasmask.report.results_text import render_results

DOCS = Path(__file__).resolve().parents[1] / "docs"
PART = "_figures.template.md"
END = "<!-- end of figures -->\n"


def page_of(template: Path) -> Path:
    if template.name == f"readme{PART}":
        return DOCS.parent / "README.md"
    return DOCS / template.name.replace(PART, ".md").replace(".template", "")


def whole(template: Path, text: str) -> str:
    """The page with the text in it: between its marks where the template is a part of a page, else the text alone."""
    if not template.name.endswith(PART):
        return text
    page, begin = page_of(template), f"<!-- figures: docs/{template.name} -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ConfigError(f"{page.name}: one of the comments {begin.strip()} and {END.strip()} is missing")
    return before + found + text + ended + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    stale = 0
    try:
        for template in sorted(DOCS.glob("*.template.md")):
            page = page_of(template)
            text = whole(template, render_results(template, DOCS / "results"))
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
