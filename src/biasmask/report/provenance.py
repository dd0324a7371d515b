"""What was done and with what: stages, mask settings, threshold and the checker's counts, as rows of text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from biasmask.report.formats import count, duration, number, percent, small_number
from biasmask.report.run_folder import RunFolder

MINIMUM_CELL = 10
# Lists of the checker that have a sentence of their own in the report, or that repeat others.
SHOWN_ELSEWHERE = {"counts", "splits", "exclusions", "missing_attributes", "warnings", "errors", "class_names"}
NO_GROUP = "(missing)"


@dataclass(frozen=True)
class StageRow:
    """A stage in words."""

    name: str
    label: str
    time: str
    epochs: str
    edited: str
    largest_change: str
    outside: str
    outside_changed: bool
    notes: list[str]


@dataclass(frozen=True)
class CountTable:
    """Group x target counts of one attribute: a row a group, a column a class and split."""

    attribute: str
    splits: list[str]
    rows: list[tuple[str, list[tuple[str, bool]]]]
    missing: list[tuple[str, int]]


def stage_rows(run: RunFolder) -> list[StageRow]:
    """Stages in their order: what they are, how long they took, and what they changed."""
    rows = []
    for stage in run.stages:
        edited, parameters, outside = (stage.get(name) for name in ("edited", "parameters", "changed_outside"))
        change = stage.get("largest_change")
        share = share_words(edited, parameters)
        rows.append(
            StageRow(
                name=str(stage.get("stage", "")),
                label=str(stage.get("label") or ""),
                time=duration(stage.get("seconds")) + (", reused" if stage.get("reused") else ""),
                epochs=count(stage.get("epochs")),
                edited="–" if edited is None else f"{count(edited)} of {count(parameters)}{share}",
                largest_change="–" if change is None else small_number(change),
                outside=count(outside),
                outside_changed=bool(outside),
                notes=[str(note) for note in stage.get("notes") or []],
            )
        )
    return rows


def untouched_note(run: RunFolder) -> str:
    """A warning where the masked step ended with the weights it began with, so that no reader credits the mask."""
    idle = any(stage.get("stage") == "impair" and stage.get("edited") == 0 for stage in run.stages)
    text = "The masked step (impair) changed no parameter in this run: what changed came from later stages."
    return text if idle else ""


def facts(run: RunFolder) -> list[tuple[str, str]]:
    """The run in pairs of name and value; what is not known is left out."""
    read = run.run
    size = read.get("image_size")
    backbone = read.get("backbone")
    pairs = [
        ("Data set", read.get("dataset")),
        ("Target", " / ".join(map(str, read.get("class_names") or []))),
        ("Attribute" if len(run.debiased) < 2 else "Attributes", ", ".join(run.debiased)),
        ("Groups", "; ".join(", ".join(run.groups(attribute)) for attribute in run.debiased)),
        ("Method", read.get("method")),
        ("Debias split", debias_share(read)),
        ("Further test sets", ", ".join(map(str, read.get("extra_tests") or []))),
        ("Backbone", f"{backbone}, {size} px" if backbone and size else backbone),
        ("Seed", read.get("seed")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def debias_share(read: Mapping[str, Any]) -> str | None:
    """How much of the debias split was used, where it wasn't all of it."""
    share, rows = read.get("debias_share"), read.get("debias_rows")
    return None if share in (None, 1) else f"{percent(float(share), 0)} of it, {count(rows)} rows"


def threshold_facts(run: RunFolder) -> list[tuple[str, str]]:
    """The frozen threshold of each model, with more than two classes those of all classes."""
    facts = []
    for model in run.models:
        own = run.threshold.get(model)
        of_classes = ", ".join(f"{name} {number(value)}" for name, value in own.items()) if isinstance(own, dict) else ""
        facts.append((model, of_classes or number(run.threshold_of(model))))
    return facts


def mask_facts(mask: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings of a mask and of the importance pass it came from."""
    selected, parameters = mask.get("selected"), mask.get("parameters")
    share = share_words(selected, parameters)
    pairs: list[tuple[str, Any]] = [
        ("Kind", mask.get("kind")),
        ("Made from", mask.get("source")),
        ("Granularity", mask.get("granularity")),
        ("Edit fraction asked for", in_percent(mask.get("edit_fraction"))),
        ("Selected parameters", f"{count(selected)} of {count(parameters)}{share}"),
        ("Threshold on the ratio", None if mask.get("threshold") is None else small_number(mask["threshold"])),
    ]
    for name, value in (mask.get("importance") or {}).items():
        pairs.append((f"Importance: {name.replace('_', ' ')}", plain_value(value)))
    pairs.append(("Source checkpoint (SHA-256)", mask.get("source_checkpoint")))
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def share_words(part: float | None, whole: float | None) -> str:
    """A share in brackets; one that is not zero never reads as zero, and one that is not all never as all.

    >>> share_words(1281, 3372289).replace("\N{NO-BREAK SPACE}", " "), share_words(None, 5)
    (' (0.038 %)', '')
    >>> share_words(9999, 10000).replace("\N{NO-BREAK SPACE}", " ")
    ' (99.990 %)'
    """
    if part is None or not whole:
        return ""
    share = part / whole
    return f" ({percent(share, 1 if share in (0, 1) or 0.001 <= share <= 0.999 else 3)})"


def in_percent(share: float | None) -> str | None:
    return None if share is None else percent(float(share))


def plain_value(value: Any) -> str:
    """A value from a JSON file in words.

    >>> plain_value(True), plain_value(1200), plain_value(None)
    ('yes', '1,200', '–')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, int):
        return count(value)
    return small_number(value) if isinstance(value, float) else member_text(value)


def count_tables(run: RunFolder) -> list[CountTable]:
    """The checker's counts: for each attribute, groups by split and target; a cell below the minimum is marked."""
    checker = run.checker or {}
    counts = checker.get("counts") or {}
    minimum = int(checker.get("minimum_cell") or MINIMUM_CELL)
    names = class_names(run)
    attributes = list(dict.fromkeys(name for split in counts.values() for name in split))
    tables = []
    for attribute in sorted(attributes, key=lambda name: name not in run.debiased):
        splits = [split for split in counts if attribute in counts[split]]
        groups = dict.fromkeys(group for split in splits for group in counts[split][attribute])
        rows = []
        for group in groups:
            cells = []
            for split in splits:
                cell = counts[split][attribute].get(group) or {}
                for name in names:
                    value = int(cell.get(name) or 0)
                    cells.append((count(value), value < minimum and group != NO_GROUP))
            rows.append((group, cells))
        rows.sort(key=lambda row: row[0] == NO_GROUP)
        missing = (checker.get("missing_attributes") or {}).get(attribute) or {}
        reasons = [(str(reason), int(value)) for reason, value in missing.items() if value]
        tables.append(CountTable(attribute, splits, rows, reasons))
    return tables


def class_names(run: RunFolder) -> list[str]:
    """Names of the classes: the negative and the positive one, or those of more than two."""
    named = (run.checker or {}).get("class_names") or run.run.get("class_names") or ("negative", "positive")
    return [str(name) for name in named]


def other_checks(checker: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every further finding of the checker: its name and how many, with up to five examples."""
    return [
        (name.replace("_", " "), listed(value))
        for name, value in checker.items()
        if name not in SHOWN_ELSEWHERE and value is not None
    ]


def listed(value: Any) -> str:
    """A list or mapping as its length and first members; a mapping with a `count` as that count and its examples.

    >>> listed([]), listed(["a", "b"]), listed({"7": "truncated"})
    ('none', '2: a, b', '1: 7 (truncated)')
    >>> listed({"count": 9, "examples": ["a"]}), listed({"count": 0, "examples": []})
    ('9: a and more', 'none')
    """
    if isinstance(value, Mapping) and "count" in value:
        examples = [member_text(member) for member in value.get("examples") or []]
        more = " and more" if len(examples) < value["count"] else ""
        return f"{value['count']:,}: {', '.join(examples)}{more}" if value["count"] else "none"
    if isinstance(value, Mapping):
        return shorten(f"{key} ({member_text(member)})" for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return shorten(member_text(member) for member in value)
    return "none" if value in (0, "") else plain_value(value)


def member_text(member: Any) -> str:
    if isinstance(member, Mapping):
        return ", ".join(f"{key} {member_text(value)}" for key, value in member.items())
    return ", ".join(map(str, member)) if isinstance(member, (list, tuple)) else str(member)


def shorten(members: Iterable[str], most: int = 5) -> str:
    texts = list(members)
    if not texts:
        return "none"
    return f"{len(texts):,}: {', '.join(texts[:most])}" + (" and more" if len(texts) > most else "")
