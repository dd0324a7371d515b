"""`bias_map.json` for a reader: its rows summed by layer, block, head or kind."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasmask.errors import StoreError
from biasmask.report.run_folder import read_json

MAP_FILE = "bias_map.json"
SCHEMA = 1
GROUPINGS = ("layer", "block", "head", "kind")
STATISTICS = "statistics"  # no parameters: running means of norm layers


@dataclass(frozen=True)
class PartSum:
    """Sums over the rows of one part; NaN where a sum isn't known.

    Args:
        name: such as `blocks.3`, `layer 3`, `layer 3, head 1`, `query`.
        parameters: entries of the parameters in it; running statistics are none.
        selected: how many of them a mask selects or a block mask cuts.
        changed: how many differ between base and debiased.
        statistics: how many entries of running statistics differ.
        bias, task: mean importance over the parameters that have one.
    """

    name: str
    parameters: int
    selected: float
    changed: float
    statistics: float
    bias: float
    task: float

    @property
    def share(self) -> float:
        """Selected share of the parameters."""
        return self.selected / self.parameters if self.parameters else math.nan

    @property
    def changed_share(self) -> float:
        return self.changed / self.parameters if self.parameters else math.nan


def read_bias_map(run_dir: Path | str) -> dict[str, Any] | None:
    """The map of a run folder; None where there is none.

    Raises:
        StoreError: it can't be parsed, or was written in another form.
    """
    content = read_json(Path(run_dir) / MAP_FILE)
    if content is None:
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise StoreError(f"{Path(run_dir) / MAP_FILE}: isn't a map of schema {SCHEMA}; write it again: see docs/bias_map.md")
    return content


def part_of(row: Mapping[str, Any], by: str) -> str:
    """The part of a network in which a row of the map lies.

    Args:
        row: of `bias_map.json`.
        by: `layer`, `block`, `head` or `kind`. What lies in no layer has its block's name; what lies in no head its layer's.

    >>> row = {"layer": 3, "block": "blocks.3", "head": 1, "kind": "query"}
    >>> [part_of(row, by) for by in GROUPINGS]
    ['layer 3', 'blocks.3', 'layer 3, head 1', 'query']
    """
    if by not in GROUPINGS:
        raise ValueError(f"by={by}: choose one of {', '.join(GROUPINGS)}")
    if by in ("block", "kind"):
        return str(row[by])
    if row["layer"] is None:
        return str(row["block"])
    whole = f"layer {row['layer']}"
    if by == "layer":
        return whole
    return f"{whole}, no head" if row["head"] is None else f"{whole}, head {row['head']}"


def sums_by(rows: Iterable[Mapping[str, Any]], by: str) -> list[PartSum]:
    """The rows of a map summed by part, in the order of the network.

    Args:
        rows: of `bias_map.json`.
        by: as in `part_of`.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(part_of(row, by), []).append(row)
    return [part_sum(name, own) for name, own in groups.items()]


def part_sum(name: str, rows: Sequence[Mapping[str, Any]]) -> PartSum:
    """Sums over rows."""
    real = [row for row in rows if row["kind"] != STATISTICS]
    return PartSum(
        name,
        sum(row["parameters"] for row in real),
        total(row["selected"] for row in real),
        total(row["changed"] for row in real),
        total(row["changed"] for row in rows if row["kind"] == STATISTICS),
        weighted_mean(real, "bias_importance"),
        weighted_mean(real, "task_importance"),
    )


def total(values: Iterable[float | None]) -> float:
    """Their sum; NaN where one isn't known.

    >>> total([1, 2.5]), total([1, None])
    (3.5, nan)
    """
    return float(sum(math.nan if value is None else value for value in values))


def weighted_mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Mean of a value over the parameters of the rows that have one; NaN where none has."""
    known = [row for row in rows if row[key] is not None]
    parameters = sum(row["parameters"] for row in known)
    return float(sum(row[key] * row["parameters"] for row in known) / parameters) if parameters else math.nan
