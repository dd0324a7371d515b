"""The checker: what a table holds and what is wrong with it, before anything trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.attributes import EncodedAttribute
from biasmask.data.repeated import repeated
from biasmask.data.same_files import same_files
from biasmask.data.splits import SPLITS
from biasmask.data.table import EXAMPLES, MISSING_IMAGE, Table
from biasmask.data.values import shown
from biasmask.errors import DataError


@dataclass
class CheckReport:
    """Counts and problems of a table; ids stand under a problem only where they are asked for, and at most 5.

    `counts` is split -> attribute -> group (or "(missing)") -> class -> rows; unreadable images are not counted.
    """

    table: str
    rows: int
    class_names: list[str]
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, dict[str, dict[str, dict[str, int]]]] = field(default_factory=dict)
    missing_attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    exclusions: list[dict[str, Any]] = field(default_factory=list)
    missing_images: dict[str, Any] = field(default_factory=dict)
    unreadable: dict[str, Any] = field(default_factory=dict)
    duplicate_rows: dict[str, Any] = field(default_factory=dict)
    duplicate_files: dict[str, Any] = field(default_factory=dict)
    subjects_in_two_splits: dict[str, Any] = field(default_factory=dict)
    show_rows: bool = True
    minimum_cell: int = 10
    small_cells: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and integers, ready for JSON."""
        return asdict(self)

    def raise_if_fatal(self) -> None:
        """Raises a DataError with all errors in one line, where there are any."""
        if self.errors:
            raise DataError(f"{self.table}: " + "; ".join(self.errors))


def check_table(
    table: Table,
    attributes: Sequence[EncodedAttribute],
    unreadable: Mapping[int, str] | None = None,
    minimum_cell: int = 10,
    debiased: int = 1,
    memory: Path | None = None,
    show_rows: bool = True,
) -> CheckReport:
    """Counts a table's cells and names its problems.

    Errors (a run can't be right): one class only in train, debias or val; one group only of a debiased attribute in
    debias; one image with two targets. Everything else is a warning.

    Args:
        table: the rows.
        attributes: encoded for this table; those to debias first.
        unreadable: row -> reason, from the pixel store; these rows are left out of the counts.
        minimum_cell: a split x group x target cell with fewer rows is reported.
        debiased: how many of the attributes are to be debiased.
        show_rows: name a few rows under each problem; a run does so only where data.show_rows asks for it.
        memory: file that keeps which files are the same, where the table's files are known to be as they were.

    Returns:
        CheckReport; cells of a split that the table lacks are not listed.
    """
    frame = table.frame
    bad = dict(unreadable or {})
    usable = np.ones(len(frame), dtype=bool)
    usable[list(bad)] = False
    report = CheckReport(table.name, int(usable.sum()), list(table.class_names), show_rows=show_rows, minimum_cell=minimum_cell)
    _exclusions(report, table, bad)
    subject, subjects = pd.factorize(frame["subject"])
    _count(report, table, attributes, usable, subject, debiased)
    _subjects(report, frame, subject, subjects)
    del subject, subjects
    _duplicate_rows(report, frame)
    _duplicate_files(report, table, memory)
    if not show_rows:
        for found in (*report.exclusions, report.missing_images, report.unreadable, report.duplicate_rows,
                      report.duplicate_files, report.subjects_in_two_splits):  # fmt: skip
            found["examples"] = []
    return report


def _exclusions(report: CheckReport, table: Table, bad: Mapping[int, str]) -> None:
    report.exclusions = [asdict(e) | {"examples": e.examples[:EXAMPLES]} for e in table.exclusions]
    missing = [e for e in table.exclusions if e.reason == MISSING_IMAGE]
    report.missing_images = {
        "count": sum(e.count for e in missing),
        "examples": [i for e in missing for i in e.examples][:EXAMPLES],
    }
    ids = table.frame["id"]
    rows = sorted(bad)
    report.unreadable = {
        "count": len(rows),
        "reasons": dict(Counter(bad[row] for row in rows)),
        "examples": [f"{ids.iloc[row]}: {bad[row]}" for row in rows[:EXAMPLES]],
    }
    for exclusion in table.exclusions:
        report.warnings.append(
            f"{exclusion.count} rows left out: {exclusion.reason}{_named(report, exclusion.examples, exclusion.count)}"
        )
    if rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.unreadable["reasons"].items())
        named = f": {_some(report.unreadable['examples'], len(rows))}" if report.show_rows else f" ({reasons})"
        report.warnings.append(f"{len(rows)} images can't be read{named}")


def _some(ids: Sequence[str], count: int) -> str:
    return ", ".join(ids[:3]) + (", …" if count > 3 else "")


def _named(report: CheckReport, ids: Sequence[str], count: int) -> str:
    """A few ids in brackets, or nothing where rows of the table are not to be shown."""
    return f" ({_some(ids, count)})" if report.show_rows else ""


def _count(
    report: CheckReport,
    table: Table,
    attributes: Sequence[EncodedAttribute],
    usable: np.ndarray,
    subject: np.ndarray,
    debiased: int,
) -> None:
    target = table.frame["target"].to_numpy()
    split_of = table.frame["split"]
    report.missing_attributes = {a.name: dict(a.missing) for a in attributes if a.missing}
    for name, reasons in report.missing_attributes.items():
        listed = ", ".join(f"{count}: {reason}" for reason, count in reasons.items())
        report.warnings.append(
            f"{sum(reasons.values())} rows have no '{name}' and stay out of group figures ({listed})"
        )
    for split in SPLITS:
        inside = usable & (split_of == split).to_numpy()
        if not inside.any():
            continue
        per_class = {c: int((target[inside] == y).sum()) for y, c in enumerate(table.class_names)}
        subjects = int(np.count_nonzero(np.bincount(subject[inside])))
        report.splits[split] = {"rows": int(inside.sum()), "subjects": subjects, "target": per_class}
        absent = [c for c, count in per_class.items() if not count]
        if absent:
            text = f"split '{split}' has no row with the target {' or '.join(repr(c) for c in absent)}"
            fatal = split != "test" and len(per_class) - len(absent) < 2
            (report.errors if fatal else report.warnings).append(text)
        report.counts[split] = {
            a.name: _cells(report, split, a, target, inside, needed=number < debiased and split == "debias")
            for number, a in enumerate(attributes)
        }


def _cells(
    report: CheckReport, split: str, attribute: EncodedAttribute, target: np.ndarray, inside: np.ndarray, needed: bool
) -> dict[str, dict[str, int]]:
    cells: dict[str, dict[str, int]] = {}
    for number, group in [*enumerate(attribute.group_names), (-1, "(missing)")]:
        here = inside & (attribute.index == number)
        cells[group] = {c: int((here & (target == y)).sum()) for y, c in enumerate(report.class_names)}
        small = {c: count for c, count in cells[group].items() if number >= 0 and count < report.minimum_cell}
        report.small_cells += [
            {"split": split, "attribute": attribute.name, "group": group, "target": c, "count": count}
            for c, count in small.items()
        ]
        if len(report.class_names) == 2:
            report.warnings += [
                f"{split}: {attribute.name}={group} has {count} rows with target '{c}' (fewer than {report.minimum_cell}): "
                f"its rates are {'uncertain' if count else 'undefined'}"
                for c, count in small.items()
            ]
        elif small:  # one line a group: with many classes a line a cell would bury all else
            listed = ", ".join(f"{c} {count}" for c, count in small.items())
            report.warnings.append(
                f"{split}: {attribute.name}={group} has fewer than {report.minimum_cell} rows of {len(small)} of "
                f"{len(report.class_names)} targets ({listed}): their rates are uncertain, with 0 rows undefined"
            )
    filled = [group for group in attribute.group_names if sum(cells[group].values())]
    if needed and len(filled) < 2:
        report.errors.append(
            f"split '{split}' has {len(filled)} group of '{attribute.name}' ({shown(filled) or 'none'}); "
            "debiasing needs two"
        )
    return cells


def _subjects(report: CheckReport, frame: pd.DataFrame, subject: np.ndarray, subjects: pd.Index) -> None:
    splits = np.zeros(len(subjects), dtype=np.int64)
    for split in SPLITS:
        splits += np.bincount(subject[(frame["split"] == split).to_numpy()], minlength=len(subjects)) > 0
    torn = sorted(str(given) for given in subjects[splits > 1])
    report.subjects_in_two_splits = {"count": len(torn), "examples": torn[:EXAMPLES]}
    if torn:
        report.warnings.append(
            f"{len(torn)} subjects are in two splits{_named(report, torn, len(torn))}: test figures may be too good; "
            "split by subject"
        )


def _duplicate_rows(report: CheckReport, frame: pd.DataFrame) -> None:
    """Rows that name the same id or the same image."""
    twins = frame[["id", "path", "target"]].iloc[np.flatnonzero(repeated(frame["path"]) | repeated(frame["id"]))]
    again = int((twins.duplicated("path") | twins.duplicated("id")).sum())
    ids = list(dict.fromkeys(twins["id"]))
    targets = twins.groupby("path", sort=False)["target"].nunique()
    torn = targets.index[targets > 1]
    torn_ids = [str(i) for i in twins["id"][twins["path"].isin(torn)]]
    report.duplicate_rows = {"count": again, "examples": ids[:EXAMPLES], "with_two_targets": len(torn)}
    if again:
        report.warnings.append(f"{again} rows repeat an id or image{_named(report, ids, len(ids))}")
    if len(torn):
        report.errors.append(
            f"{len(torn)} images stand in the table with both targets ({_some(torn_ids, len(torn_ids))})"
        )


def _duplicate_files(report: CheckReport, table: Table, memory: Path | None) -> None:
    """Different files with the same bytes."""
    sets = same_files(table.frame["path"], table.root, memory)
    ids, splits, target = table.frame["id"], table.frame["split"], table.frame["target"]
    across = sum(splits.iloc[rows].nunique() > 1 for rows in sets)
    torn = sum(target.iloc[rows].nunique() > 1 for rows in sets)
    report.duplicate_files = {
        "count": sum(len(rows) - 1 for rows in sets),
        "sets": len(sets),
        "across_splits": int(across),
        "with_two_targets": int(torn),
        "examples": [str(ids.iloc[row]) for rows in sets for row in rows][:EXAMPLES],
    }
    if sets:
        named = f" ({' = '.join(str(ids.iloc[row]) for row in sets[0][:3])})" if report.show_rows else ""
        report.warnings.append(
            f"{report.duplicate_files['count']} image files repeat the bytes of another{named}; "
            f"{across} sets lie in two splits, {torn} have both targets"
        )

