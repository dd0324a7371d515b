"""The content of a comparison of runs, from which every format of it is made: rows, figures, budget, Pareto set."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from biasmask.metrics.attribute_means import mean_name
from biasmask.metrics.seed_comparison import holm
from biasmask.report.run_folder import TRAINING_SPLITS, MetricKey
from biasmask.report.sweep_budget import cost_of, costs_of, curves, side_by_side
from biasmask.report.sweep_candidates import Candidate, RunComparison
from biasmask.report.sweep_columns import Columns, columns_of
from biasmask.report.sweep_controls import control_of
from biasmask.report.sweep_figures import AGAINST, TEXT, Draws, Side, compare, figure_name, plain, summarize
from biasmask.report.sweep_order import order_of
from biasmask.report.sweep_runs import SweepRun, Unit

SCHEMA = 1
DEFAULT_REFERENCE = "full_ft"
OURS = ("bmft", "block_pruning", "head_pruning")
AS_PUBLISHED = "bmft_published"
CONTROL = ("random_", "ones_mask")
Content = dict[str, Any]


def build_comparison(
    comparison: RunComparison, draws: Draws, reference: str | None = None, metrics: Sequence[str] = ()
) -> Content:
    """Everything that a table, a page or a file says about one comparison.

    Args:
        comparison: candidates over units.
        draws: how intervals are made.
        reference: method, or id of a row, that the others are compared with beside the base model; None = full
            fine-tuning where it is there.
        metrics: names of the figures to show, as `auroc`; empty = the usual ones.

    Returns:
        Plain JSON values; undefined is None, with a reason.
    """
    first = comparison.first
    ids = ["base", *(candidate.id for candidate in comparison.candidates)]
    assert len(set(ids)) == len(ids), f"two rows of one id: {ids}"
    splits = {unit[1] for unit in comparison.units}
    draws = replace(draws, by_split=len(splits) > 1)
    base = Side(comparison.base, is_base=True)
    sides = {candidate.id: Side(candidate.runs) for candidate in comparison.candidates}
    other = find_reference(comparison.candidates, reference)
    controls = {candidate.id: control_of(candidate, comparison.candidates) for candidate in comparison.candidates}
    against = {
        "vs_base": {row: Side(side.runs, is_base=True) for row, side in sides.items()},
        "vs_reference": {row: sides[other] for row in sides if other is not None and row != other},
        "vs_control": {row: sides[control] for row, control in controls.items() if control is not None},
    }
    notes = [*comparison.notes, *side_by_side(comparison.candidates, first.family != TEXT)]
    if reference and other is None:
        notes.append(f"no single method `{reference}` in this comparison: nothing is compared with it")
    test_sets = []
    for name in names_of_test_sets(comparison):
        figures, intervals = figures_of(base, sides, name, against, draws)
        keys = dict.fromkeys(key.split("/")[0] for own in figures.values() for key in own)
        for key in [TEXT] if name == TEXT else keys:
            own = {
                row: {k: f for k, f in entries.items() if name == TEXT or k.split("/")[0] == key}
                for row, entries in figures.items()
            }
            columns = columns_of(first, key, own, metrics)
            test_sets.append(ranked_rows(key, columns, own, intervals, comparison.candidates))
    rows = [base_row(comparison)]
    rows += [candidate_row(one, comparison.units, controls[one.id]) for one in comparison.candidates]
    order = test_sets[0]["order"] if test_sets else []
    rows.sort(key=lambda row: order.index(row["id"]) if row["id"] in order else len(order))
    notes += [
        f"{row['label']}{', ' + row['setting'] if row['setting'] else ''}: {row['n_runs']} of {row['n_units']} runs"
        for row in rows if row["missing"]
    ]  # fmt: skip
    if any(own["gap"].endswith(f"/{mean_name(first.attributes)}") for own in test_sets):
        notes.append(f"rows are ordered and drawn by the mean gap over {' and '.join(first.attributes)}")
    return {
        **about(first), "units": [unit_words(unit) for unit in comparison.units], "reference": other, "notes": notes,
        "clusters": {"name": "split", "n": len(splits)} if draws.by_split else None,
        "rows": rows, "test_sets": test_sets, "selection": [], "curves": curves(comparison.candidates),
    }  # fmt: skip


def about(run: SweepRun) -> Content:
    """The question that a comparison answers."""
    about, network = run.run, str(run.run.get("backbone") or run.run.get("model_name"))
    title = f"{about.get('dataset')}, {' and '.join(run.attributes) or 'no attribute'}, {network}"
    classes = [str(name) for name in about.get("class_names") or ()]
    return {
        "id": re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-"), "title": title, "family": run.family,
        "dataset": about.get("dataset"), "class_names": classes, "attributes": list(run.attributes),
        "group_names": about.get("group_names") or {}, "backbone": network, "image_size": about.get("image_size"),
    }  # fmt: skip


def find_reference(candidates: Sequence[Candidate], named: str | None) -> str | None:
    """Id of the candidate that the others are compared with: the named one, else full fine-tuning; None if not one alone."""
    wanted = named or DEFAULT_REFERENCE
    exact = [candidate.id for candidate in candidates if candidate.id == wanted]
    same = [candidate.id for candidate in candidates if candidate.method == wanted]
    return exact[0] if exact else same[0] if len(same) == 1 else None


def names_of_test_sets(comparison: RunComparison) -> list[str]:
    """Test sets of any run, `test` first; the one of a text run is all that it measures."""
    if comparison.first.family == "text":
        return [TEXT]
    runs = [*comparison.base.values(), *(run for candidate in comparison.candidates for run in candidate.runs.values())]
    found = dict.fromkeys(split.split(":")[0] for run in runs for split in run.folder.test_sets)
    return sorted((name for name in found if name not in TRAINING_SPLITS), key=lambda name: name != "test")


def figures_of(
    base: Side, sides: Mapping[str, Side], name: str, against: Mapping[str, Mapping[str, Side]], draws: Draws
) -> tuple[dict[str, Content], str]:
    """row -> key -> figure, with the differences to other rows, and the kind of interval.

    Args:
        base: the base models of all units.
        sides: row -> its models.
        name: of the test set.
        against: `vs_base` and so on -> row -> the models that this one is compared with.
        draws: how intervals are made.
    """
    figures, intervals = {}, set()
    for row, side in {"base": base, **sides}.items():
        figures[row], kind = summarize(side, name, draws)
        intervals |= {kind} if figures[row] else set()
    for which in AGAINST:
        found = {row: compare(other, sides[row], name, draws) for row, other in against[which].items()}
        adjust(found)
        for row, entries in found.items():
            for key, entry in entries.items():
                if key in figures[row]:
                    figures[row][key][which] = entry
    return figures, "bootstrap" if intervals == {"bootstrap"} else "student"


def adjust(differences: Mapping[str, Mapping[str, Content]]) -> None:
    """Holm's correction of each figure's p-values over the methods."""
    for key in dict.fromkeys(key for entries in differences.values() for key in entries):
        tested = [entries[key] for entries in differences.values() if key in entries and entries[key]["p"] is not None]
        for entry, p in zip(tested, holm([entry["p"] for entry in tested]), strict=True):
            entry["p_holm"] = plain(p)


def ranked_rows(
    key: str, columns: Columns, figures: dict[str, Content], interval: str, candidates: Sequence[Candidate]
) -> Content:
    """One test set, or one class of it: its columns, and the order and the Pareto set of the rows."""
    name, _, kind = key.partition(":")
    seen = figures["base"].get(columns.quality, {})
    return {
        "key": key, "name": name, "class": kind or None, "n": seen.get("n"), "n_positive": seen.get("n_positive"),
        "interval": interval, "gap": columns.gap, "quality": columns.quality, "compared": columns.compared,
        "metrics": [column(metric) for metric in columns.shown], "group_metrics": [group_column(m) for m in columns.groups],
        **order_of(figures, columns, candidates), "figures": figures,
    }  # fmt: skip


def column(key: str) -> Content:
    name = figure_name(key)
    return {"key": key, "label": name.label, "brief": name.brief, "direction": name.direction}


def group_column(key: str) -> Content:
    """A figure of one group; of a text run, of one SEAT test."""
    parts, name = MetricKey.parse(key), figure_name(key)
    group = parts.group or name.label.partition(",")[0]
    label = f"{name.brief}, {group}" if parts.group else name.label
    return {
        "key": key, "metric": parts.metric, "attribute": parts.attribute, "group": group, "label": label,
        "direction": name.direction,
    }  # fmt: skip


def unit_words(unit: Unit) -> Content:
    return {"seed": unit[0], "split_seed": unit[1]}


def base_row(comparison: RunComparison) -> Content:
    runs = [
        {**unit_words(unit), "folder": run.name, "collapsed": False, "collapse": None, "seconds": None, "reused": [],
         "levelling_down": 0, "kept_base": False}
        for unit, run in comparison.base.items()
    ]  # fmt: skip
    return {
        "id": "base", "role": "base", "method": "base", "label": "base model", "setting": "", "control": None, "runs": runs,
        "n_runs": len(runs), "n_units": len(runs), "missing": [], "collapsed": 0, "kept_base": 0, "needs_attribute": False,
        "epochs": 0, "epochs_allowed": 0, "epochs_reason": None, "seconds": 0.0, "reused": False, "debias_share": None,
        "edited": 0.0, "parameters": None, "levelling_down": [],
    }  # fmt: skip


def candidate_row(candidate: Candidate, units: Sequence[Unit], control: str | None) -> Content:
    """What a method is, what it cost, and how its runs ended."""
    runs, first = list(candidate.runs.values()), candidate.first
    costs = [cost_of(run) for run in runs]
    return {
        "id": candidate.id, "role": role_of(candidate.method), "method": candidate.method, "label": candidate.label,
        "setting": candidate.setting, "control": control,
        "runs": [
            {**unit_words(unit), "folder": run.name, "collapsed": run.collapse is not None, "collapse": run.collapse,
             "seconds": cost["seconds"], "reused": cost["reused"], "levelling_down": run.levelling_down,
             "kept_base": run.kept_base}
            for (unit, run), cost in zip(candidate.runs.items(), costs, strict=True)
        ],
        "n_runs": len(runs), "n_units": len(units), "missing": [unit_words(u) for u in units if u not in candidate.runs],
        "collapsed": candidate.collapsed, "kept_base": candidate.kept_base,
        "needs_attribute": bool(first.run.get("needs_attribute")), **costs_of(candidate),
        "levelling_down": [run.levelling_down for run in runs],
    }  # fmt: skip


def role_of(method: str) -> str:
    """What a method is in a comparison.

    >>> role_of("bmft"), role_of("random_mask"), role_of("full_ft")
    ('ours', 'control', 'rival')
    """
    if method.startswith(CONTROL):
        return "control"
    return "ours" if method.startswith(OURS) and method != AS_PUBLISHED else "rival"
