"""What a gap costs when scores are moved by group: python scripts/score_shift.py logs/sweeps/bmft_ham10000

Takes the base models of the runs below the folders (each base model once) and moves the scores of each group towards those of the
average group, by more and more of what they differ by on validation rows. Prints gap and AUROC on test rows, means over the base
models. How to read it: docs/compare.md
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

from biasmask.errors import BiasmaskError, StoreError
from biasmask.files import write_json
from biasmask.metrics.predictions import read_predictions
from biasmask.metrics.score_shift import ShiftPoint, shift_points
from biasmask.report.formats import signed
from biasmask.report.plot_shift import shift_picture
from biasmask.report.sweep_runs import SweepRun, read_runs
from biasmask.report.sweep_texts import TextTable
from biasmask.report.sweep_validation import mean_words, table_content

STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
HEADER = ["share of the offset", "EO gap (mean)", "change of AUROC", "change of balanced accuracy", "worst-group AUROC"]


def points_of(run: SweepRun, attribute: str, test_set: str, strengths: list[float]) -> list[ShiftPoint]:
    groups = {attribute: tuple(run.run["group_names"][attribute])}
    found = []
    for split in ("val", test_set):
        frame = run.folder.predictions(run.folder.base, split)
        if frame is None:
            raise StoreError(f"{run.name}: no predictions of the base model on `{split}`")
        found.append(read_predictions(frame, groups))
    return shift_points(found[0], found[1], attribute, strengths, str(run.config["metrics.threshold_rule"]))


def changes_of(runs: list[list[ShiftPoint]]) -> list[tuple[float, float]]:
    """(change of AUROC, change of the gap) of each strength, means over base models."""
    keys = ("auroc", "equalized_odds_mean")
    found = [
        [fmean(point.test[key] - run[0].test[key] for point, run in zip(points, runs, strict=True)) for key in keys]
        for points in zip(*runs, strict=True)
    ]
    return [(quality, gap) for quality, gap in found]


def rows_of(runs: list[list[ShiftPoint]]) -> list[list[str]]:
    """Means over base models, with their standard deviation where there are several."""
    rows = []
    for points in zip(*runs, strict=True):
        firsts = [run[0].test for run in runs]
        change = {
            name: fmean(point.test[name] - first[name] for point, first in zip(points, firsts, strict=True))
            for name in ("auroc", "balanced_accuracy")
        }
        gap, worst = (mean_words([point.test[name] for point in points]) for name in ("equalized_odds_mean", "auroc_worst_group"))
        rows.append([f"{points[0].strength:g}", gap, *(signed(value, 3) for value in change.values()), worst])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="run or sweep folders")
    parser.add_argument("--attribute", help="whose groups are shifted (default: the debiased one)")
    parser.add_argument("--test-set", default="test", help="which rows the figures are of")
    parser.add_argument("--strengths", type=float, nargs="+", default=list(STRENGTHS), help="shares of the offset")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="where NAME.json goes")
    parser.add_argument("--name", help="write the table as NAME.json, for the documentation")
    parser.add_argument("--compare", type=Path, help="compare.json of the same runs: its methods are drawn beside the line")
    parser.add_argument("--picture", type=Path, help="draw both into this .png or .svg")
    asked = parser.parse_args()
    if (asked.compare is None) != (asked.picture is None):
        parser.error("--compare and --picture go together")
    try:
        runs, _ = read_runs(asked.folders)
        own: dict[tuple[object, ...], SweepRun] = {}
        for run in runs:
            own.setdefault((run.question[:3], asked.attribute or run.attributes[0], run.unit), run)
        questions = {key[:2] for key in own}
        if len(questions) != 1:
            found = f"{len(questions)} data sets or attributes have finished runs"
            print(f"error: {found} in these folders; it takes one", file=sys.stderr)
            return 2
        attribute = str(next(iter(own))[1])
        points = [points_of(run, attribute, asked.test_set, asked.strengths) for run in own.values()]
        if asked.picture:
            content = json.loads(asked.compare.read_text(encoding="utf-8"))
            print(shift_picture(changes_of(points), asked.strengths, content, asked.picture))
    except (BiasmaskError, OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table(*HEADER, title=f"{attribute}: scores moved by group, {len(own)} base models, {asked.test_set} rows")
    rows = rows_of(points)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if asked.name:
        path = asked.out / f"{asked.name}.json"
        write_json(path, table_content(TextTable("", HEADER, rows), "scripts/score_shift.py"))
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
