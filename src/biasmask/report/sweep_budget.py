"""What a method may use and what it used: share of the debias split, epochs, seconds, edited entries; budgets that were swept."""

from collections.abc import Sequence
from typing import Any

from biasmask.report.sweep_candidates import Candidate
from biasmask.report.sweep_figures import average, total
from biasmask.report.sweep_runs import SweepRun

Content = dict[str, Any]
AXES = (("debias_share", "share of the debias split"), ("epochs", "epochs over the debias split"))


def budget_of(candidate: Candidate) -> Content:
    """What a candidate may use, as configured: the share of the debias split, and epochs over it (None = not counted in epochs).

    The epochs that its runs did are no budget: a guard or early stopping ends them where it will.
    """
    first = candidate.first
    return {"debias_share": first.config.get("data.debias_share"), "epochs": allowed_epochs(first)}


def allowed_epochs(run: SweepRun) -> int | None:
    """The configured epochs of all stages after the baseline; None where no stage has any."""
    found = [run.config.get(f"debias.{stage.get('stage')}.epochs") for stage in run.stages]
    return total([value if isinstance(value, int) else None for value in found])  # type: ignore[no-any-return]


def budget_words(candidate: Candidate) -> str:
    """A budget in words, to tell rows of one method apart."""
    share, epochs = budget_of(candidate).values()
    parts = [f"share {share:g}"] if share is not None else []
    return ", ".join([*parts, "no epochs" if epochs is None else f"{epochs} epochs in all"])


def cost_of(run: SweepRun) -> Content:
    """Epochs, seconds and edited entries of the stages after the baseline; None where nothing is known, or nothing was done."""
    stages = [] if run.kept_base else run.stages
    sizes = [int(stage["parameters"]) for stage in stages if stage.get("parameters")]
    return {
        **{name: total([stage.get(name) for stage in stages]) for name in ("epochs", "seconds", "edited")},
        "parameters": max(sizes) if sizes else None,
        "reused": [str(stage.get("stage")) for stage in stages if stage.get("reused")],
    }


def costs_of(candidate: Candidate) -> Content:
    """The means over a candidate's runs, the epochs that were allowed, and why there are none."""
    costs = [cost_of(run) for run in candidate.runs.values()]
    found = {name: average([cost[name] for cost in costs]) for name in ("epochs", "seconds", "edited")}
    all_kept = candidate.kept_base == len(candidate.runs)
    why = "the base model was kept" if all_kept else "no stage of this method counts epochs"
    return {
        **found,
        "epochs_allowed": None if all_kept else allowed_epochs(candidate.first),
        "epochs_reason": why if found["epochs"] is None else None,
        "reused": any(cost["reused"] for cost in costs),
        "debias_share": candidate.first.config.get("data.debias_share"),
        "parameters": next((cost["parameters"] for cost in costs if cost["parameters"]), None),
    }


def curves(candidates: Sequence[Candidate]) -> list[Content]:
    """Budgets that were swept: for each method the candidates that differ in the share of the data or the epochs alone."""
    found = []
    for method in dict.fromkeys(candidate.method for candidate in candidates):
        own = [(budget_of(candidate), candidate) for candidate in candidates if candidate.method == method]
        for x, label in AXES:
            points = sorted((budget[x], candidate.id) for budget, candidate in own if budget[x] is not None)
            others = {tuple(value for name, value in budget.items() if name != x) for budget, _ in own}
            if len({point[0] for point in points}) == len(own) > 1 and len(others) == 1:
                values = [{"x": value, "row": row} for value, row in points]
                found.append({"x": x, "label": label, "method": method, "name": own[0][1].label, "points": values})
    return found


def side_by_side(candidates: Sequence[Candidate], can_select: bool) -> list[str]:
    """A warning for each method of which several settings of one budget are shown: nobody chose among them."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.method, repr(budget_of(candidate))), []).append(candidate)
    several = dict.fromkeys(own[0].label for own in groups.values() if len(own) > 1)
    advice = "; use --select" if can_select else ""
    return [f"{label}: settings shown side by side: the best of them on the test set is no estimate{advice}" for label in several]
