"""Make each docs/NAME.md that has a docs/NAME.template.md, with the files of docs/results/: python scripts/write_results.py

A template holds the words and no result: its tables and numbers come from the JSON files, which scripts/compare_runs.py
makes of run folders. `--check` writes nothing and fails if a page isn't what its template gives.
"""

import argparse
import sys
from pathlib import Path

from biasmask.errors import BiasmaskError
from biasmask.files import write_atomically
from biasmask.report.results_text import render_results

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    stale = 0
    try:
        for template in sorted(DOCS.glob("*.template.md")):
            page = template.with_name(template.name.replace(".template", ""))
            text = render_results(template, DOCS / "results")
            if not check:
                write_atomically(page, text)
                print(page)
            elif not page.is_file() or page.read_text(encoding="utf-8") != text:
                stale += 1
                print(f"docs/{page.name} is out of date: python scripts/write_results.py")
            else:
                print(f"docs/{page.name} is up to date")
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
