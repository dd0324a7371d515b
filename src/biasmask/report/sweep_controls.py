"""Which random control a method of ours is compared with: the same method at random places, whose name begins with `random_`."""

from collections.abc import Sequence

from biasmask.report.sweep_budget import budget_of
from biasmask.report.sweep_candidates import Candidate

CONTROLS = {
    "bmft": "random_mask", "block_pruning": "random_blocks", "head_pruning": "random_heads", "impair_only": "random_impair_only",
}  # fmt: skip
ANY_VARIANT = {"head_pruning"}  # all its variants have the one control, unless there is one of their own


def control_names(method: str) -> list[str]:
    """Names of methods that are the control of a method, the nearest one first.

    >>> control_names("bmft_sharp"), control_names("head_pruning_shared"), control_names("full_ft")
    (['random_mask_sharp'], ['random_heads_shared', 'random_heads'], [])
    """
    for name, control in CONTROLS.items():
        if method == name or method.startswith(f"{name}_"):
            own = control + method.removeprefix(name)
            return list(dict.fromkeys([own, control] if name in ANY_VARIANT else [own]))
    return []


def control_of(candidate: Candidate, candidates: Sequence[Candidate]) -> str | None:
    """Id of a candidate's control; of several settings the one that is set alike, else the only one of the same budget."""
    for name in control_names(candidate.method):
        same = [other for other in candidates if other.method == name]
        alike = [other for other in same if other.setting == candidate.setting]
        budget = [other for other in same if budget_of(other) == budget_of(candidate)]
        for found in (same, alike, budget):
            if len(found) == 1:
                return found[0].id
    return None
