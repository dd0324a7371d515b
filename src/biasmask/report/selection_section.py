"""The part of the report on which epoch each stage kept: all candidates with their validation figures, the rule, the choice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasmask.report.formats import number
from biasmask.report.metric_names import metric_name
from biasmask.report.run_folder import RunFolder

LABELS = {"bias_loss": "Bias loss (soft gap)", "score_std": "Spread of scores"}
ALWAYS = ("auroc", "auroc_worst_group", "equalized_odds_mean", "bias_loss", "score_std")


@dataclass(frozen=True)
class CandidateRow:
    """A candidate, its figures as texts, and what became of it."""

    name: str
    figures: list[str]
    note: str
    chosen: bool


@dataclass(frozen=True)
class StageChoice:
    """What a stage chose from."""

    stage: str
    rule: str
    settings: str
    reason: str
    columns: list[str]
    rows: list[CandidateRow]


def stage_choices(run: RunFolder) -> list[StageChoice]:
    """One choice a stage, in the order of the stages; none where no stage had epochs to choose from."""
    return [stage_choice(stage, about) for stage, about in (run.selection or {}).items()]


def stage_choice(stage: str, about: Mapping[str, Any]) -> StageChoice:
    """The entry of a stage in selection.json, as texts."""
    candidates, settings = about.get("candidates") or [], about.get("settings") or {}
    known = {name for one in candidates for name in one["figures"]}
    wanted = [name for name in dict.fromkeys((*ALWAYS[:2], str(settings.get("gap")), *ALWAYS[2:])) if name in known]
    front, chosen = about.get("front") or [], about.get("chosen")
    rows = [before_row("base model", about.get("base"), wanted, "")]
    if about.get("start") != about.get("base"):
        rows.append(before_row("before this stage", about.get("start"), wanted, ""))
    if chosen is None:
        rows[-1] = before_row(rows[-1].name, about.get("start"), wanted, "kept")
    for one in candidates:
        words = ["chosen"] * (one["name"] == chosen) + ["on the Pareto front"] * (one["name"] in front)
        note = ", ".join(words) or str(one.get("refused") or "")
        rows.append(CandidateRow(one["name"], figure_texts(one["figures"], wanted), note, one["name"] == chosen))
    return StageChoice(
        stage,
        str(about.get("rule") or "").replace("_", " "),
        ", ".join(f"{name.replace('_', ' ')} {plain(value)}" for name, value in settings.items()),
        str(about.get("reason") or ""),
        [LABELS.get(name) or metric_name(name).brief for name in wanted],
        rows,
    )


def before_row(name: str, figures: Mapping[str, Any] | None, wanted: Sequence[str], note: str) -> CandidateRow:
    return CandidateRow(name, figure_texts(figures or {}, wanted), note, bool(note))


def figure_texts(figures: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    return [number(math.nan if (value := figures.get(name)) is None else value) for name in wanted]


def plain(value: Any) -> str:
    """A setting in words.

    >>> plain(True), plain(None), plain(0.01), plain("best")
    ('yes', 'none', '0.01', 'best')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
