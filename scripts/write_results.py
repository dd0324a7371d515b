"""Make docs/results.md from docs/results.template.md and the files of docs/results/: python scripts/write_results.py

The template holds the words and no result: its tables and numbers come from the JSON files, which scripts/compare_runs.py
makes of run folders. `--check` writes nothing and fails if docs/results.md isn't what the template gives.
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
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if docs/results.md is out of date")
    check = parser.parse_args().check
    page = DOCS / "results.md"
    try:
        text = render_results(DOCS / "results.template.md", DOCS / "results")
        if check:
            same = page.is_file() and page.read_text(encoding="utf-8") == text
            print("docs/results.md is up to date" if same else "docs/results.md is out of date: python scripts/write_results.py")
            return 0 if same else 1
        write_atomically(page, text)
        print(page)
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
