"""Rules that choose one model among candidates (epochs, settings) by figures of the validation split, and of no other.

A candidate says which split its figures come from, and any other than `val` is refused. What is said is what the caller
said: callers take it from the key prefix or the frame that the figures were computed with. A collapsed candidate is never
chosen. Where none may be chosen, the unedited model is kept.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from biasmask.metrics.collapse import collapse_causes
from biasmask.metrics.metric_draws import GAPS

SPLIT = "val"
GAP_NAMES = (*(name for name in GAPS if name != "auroc_worst_group"), "bias_loss")


@dataclass(frozen=True)
class Candidate:
    """A model that may be chosen, told by its figures on the validation split.

    Args:
        name: such as `epoch 3`.
        figures: name -> value; NaN or absent = undefined. Rules look at `auroc`, `auroc_worst_group`, a gap (GAP_NAMES);
            the check for collapse at `auroc` and `score_std`, the spread of the scores.
        split: where the figures come from: the name that their keys begin with, or that their rows were read by.
    Raises:
        ValueError: a split other than `val`.
    """

    name: str
    figures: Mapping[str, float]
    split: str

    def __post_init__(self) -> None:
        if self.split != SPLIT:
            raise ValueError(
                f"{self.name}: figures of the split '{self.split}' can't be selected on, only those of '{SPLIT}': a choice by "
                "test rows would spoil every figure of the test"
            )

    def figure(self, name: str) -> float:
        """A figure, NaN where it is undefined."""
        return self.figures.get(name, math.nan)


@dataclass(frozen=True)
class Choice:
    """What a rule chose: the place of the candidate, or None where the unedited model is kept.

    Args:
        index: place in the list of candidates.
        reason: one sentence on why.
        refused: name -> why it couldn't be chosen.
        front: names of the candidates that no other one dominates; rules that don't look for them leave it empty.
    """

    index: int | None
    reason: str
    refused: dict[str, str]
    front: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelectionRule:
    """The base of all rules; a subclass says what is best (`order`) and what isn't allowed (`limit`).

    Args:
        unedited: whether the unedited model competes: then it is kept unless a candidate is better.
        patience: for epochs: a stage ends after so many in a row of which none was the best so far; None = never.
    """

    name: ClassVar[str] = ""

    unedited: bool
    patience: int | None

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"selection.patience={self.patience}: give a number of epochs from 1, or null for none")

    def __call__(self, candidates: Sequence[Candidate], base: Candidate, start: Candidate | None = None) -> Choice:
        """Choose one.

        Args:
            candidates: in their order, with distinct names.
            base: the model before all editing, which limits refer to.
            start: the model that is kept where none is chosen; None = base. In a later stage it is what the stages before made.
        Returns:
            The Choice. A candidate that is added to the list changes the choice only if it is the one chosen.
        Raises:
            ValueError: two candidates of one name.
        """
        if len({candidate.name for candidate in candidates}) < len(candidates):
            raise ValueError(f"candidates {[candidate.name for candidate in candidates]}: names must be distinct")
        found = {candidate.name: self.refusal(candidate, base) for candidate in candidates}
        refused = {name: why for name, why in found.items() if why is not None}
        allowed = [place for place, candidate in enumerate(candidates) if candidate.name not in refused]
        front = self.front(
            [candidate for candidate in candidates if not found[candidate.name] or not self.collapse(candidate, base)]
        )
        if not allowed:
            first = f" ({candidates[0].name}: {refused[candidates[0].name]})" if candidates else ""
            return Choice(
                None, f"the unedited model is kept, none of {len(candidates)} candidates is allowed{first}", refused, front
            )
        best = min(allowed, key=lambda place: (*self.order(candidates[place], place), place))
        start = base if start is None else start
        if self.unedited and self.refusal(start, base) is None and self.order(start, -1) <= self.order(candidates[best], best):
            why = f"the unedited model is kept, none is better: {self.words(start, base)}; {candidates[best].name}: "
            return Choice(None, why + self.words(candidates[best], base), refused, front)
        return Choice(best, f"{candidates[best].name}: {self.words(candidates[best], base)}", refused, front)

    def refusal(self, candidate: Candidate, base: Candidate) -> str | None:
        """Why a candidate can't be chosen: it collapsed, or is beyond the limit; None where it can."""
        return self.collapse(candidate, base) or self.limit(candidate, base)

    def collapse(self, candidate: Candidate, base: Candidate) -> str | None:
        """In what a candidate collapsed against the base model; None where it didn't."""
        causes = collapse_causes(
            candidate.figure("score_std"), base.figure("score_std"), candidate.figure("auroc"), base.figure("auroc")
        )
        return f"collapsed: {' and '.join(causes)}" if causes else None

    def limit(self, candidate: Candidate, base: Candidate) -> str | None:
        """The rule's own limit."""
        raise NotImplementedError

    def order(self, candidate: Candidate, place: int) -> tuple[float, ...]:
        """Sorts candidates, the best one first; at equal order the first one wins."""
        raise NotImplementedError

    def words(self, candidate: Candidate, base: Candidate) -> str:
        """The figures that the choice rests on."""
        raise NotImplementedError

    def front(self, alive: Sequence[Candidate]) -> tuple[str, ...]:
        """Names of those of the candidates that aren't collapsed which no other one dominates; only Pareto looks for them."""
        return ()


@dataclass(frozen=True)
class SmallestGap(SelectionRule):
    """The smallest gap whose AUROC isn't below that of the base model by more than a tolerance; of equal ones the best AUROC.

    Args:
        gap: a gap of `metrics.gaps`, or `bias_loss`.
        auroc_tolerance: largest allowed fall of AUROC, >= 0.
    Raises:
        ValueError: an unknown gap, a negative tolerance.

    >>> rule = SmallestGap(unedited=True, patience=None, gap="equalized_odds_mean", auroc_tolerance=0.01)
    >>> base = Candidate("base", {"auroc": 0.9, "equalized_odds_mean": 0.2}, "val")
    >>> rule([Candidate("epoch 1", {"auroc": 0.895, "equalized_odds_mean": 0.1}, "val")], base).index
    0
    """

    name: ClassVar[str] = "smallest_gap"

    gap: str
    auroc_tolerance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gap not in GAP_NAMES:
            raise ValueError(f"selection.gap={self.gap}: choose one of {', '.join(GAP_NAMES)}")
        if not self.auroc_tolerance >= 0:
            raise ValueError(f"selection.auroc_tolerance={self.auroc_tolerance}: give a number from 0")

    def limit(self, candidate: Candidate, base: Candidate) -> str | None:
        floor = base.figure("auroc") - self.auroc_tolerance
        if not candidate.figure("auroc") >= floor:
            return f"AUROC {candidate.figure('auroc'):.3f} is below {floor:.3f}"
        return f"{self.gap} is undefined" if math.isnan(candidate.figure(self.gap)) else None

    def order(self, candidate: Candidate, place: int) -> tuple[float, ...]:
        return candidate.figure(self.gap), -candidate.figure("auroc")

    def words(self, candidate: Candidate, base: Candidate) -> str:
        auroc = f"AUROC {candidate.figure('auroc'):.3f} (base {base.figure('auroc'):.3f})"
        return f"{self.gap} {candidate.figure(self.gap):.3f}, {auroc}"


@dataclass(frozen=True)
class Pareto(SmallestGap):
    """As SmallestGap, and names every candidate that no other one beats in gap and AUROC at once.

    The smallest gap within the tolerance is one of them: what beat it would have a smaller gap within the tolerance.

    >>> rule = Pareto(unedited=True, patience=None, gap="fpr_gap", auroc_tolerance=0.01)
    >>> two = [Candidate(name, {"auroc": a, "fpr_gap": g}, "val") for name, a, g in (("a", 0.9, 0.2), ("b", 0.85, 0.1))]
    >>> rule(two, two[0]).front
    ('a', 'b')
    """

    name: ClassVar[str] = "pareto"

    def front(self, alive: Sequence[Candidate]) -> tuple[str, ...]:
        known = [(c.name, c.figure(self.gap), c.figure("auroc")) for c in alive]
        known = [point for point in known if not any(map(math.isnan, point[1:]))]
        return tuple(
            name for name, gap, auroc in known if not any(g <= gap and a >= auroc and (g, a) != (gap, auroc) for _, g, a in known)
        )


@dataclass(frozen=True)
class HighestFigure(SelectionRule):
    """The highest value of one figure, whatever it costs in others."""

    figure: ClassVar[str] = ""

    def limit(self, candidate: Candidate, base: Candidate) -> str | None:
        return f"{self.figure} is undefined" if math.isnan(candidate.figure(self.figure)) else None

    def order(self, candidate: Candidate, place: int) -> tuple[float, ...]:
        return (-candidate.figure(self.figure),)

    def words(self, candidate: Candidate, base: Candidate) -> str:
        return f"{self.figure} {candidate.figure(self.figure):.3f} (base {base.figure(self.figure):.3f})"


@dataclass(frozen=True)
class BestAuroc(HighestFigure):
    """The highest AUROC.

    >>> rule = BestAuroc(unedited=False, patience=None)
    >>> a, b = (Candidate(name, {"auroc": auroc}, "val") for name, auroc in (("a", 0.8), ("b", 0.85)))
    >>> rule([a, b], b).index
    1
    """

    name: ClassVar[str] = "best_auroc"
    figure: ClassVar[str] = "auroc"


@dataclass(frozen=True)
class WorstGroupAuroc(HighestFigure):
    """The highest AUROC of the group that it is lowest in; of several attributes at once, of the worst of all groups.

    >>> rule = WorstGroupAuroc(unedited=False, patience=None)
    >>> base = Candidate("base", {"auroc": 0.85}, "val")
    >>> rule([Candidate("a", {"auroc": 0.8, "auroc_worst_group": 0.7}, "val")], base).reason
    'a: auroc_worst_group 0.700 (base nan)'
    """

    name: ClassVar[str] = "worst_group_auroc"
    figure: ClassVar[str] = "auroc_worst_group"


@dataclass(frozen=True)
class Last(SelectionRule):
    """The last candidate that didn't collapse.

    >>> Last(unedited=False, patience=None)([Candidate(name, {}, "val") for name in "ab"], Candidate("base", {}, "val")).index
    1
    """

    name: ClassVar[str] = "last"

    def limit(self, candidate: Candidate, base: Candidate) -> str | None:
        return None

    def order(self, candidate: Candidate, place: int) -> tuple[float, ...]:
        return (-place,)

    def words(self, candidate: Candidate, base: Candidate) -> str:
        return "the last one"
