"""The threshold of block movement pruning over a run: a plateau, a cubic rise, a plateau; and the penalty's weight."""

from dataclasses import dataclass
from typing import Literal

PenaltyMode = Literal["constant", "threshold"]
REFERENCE_WARMUP = -1  # steps: what the published call hands over where it means "no plateaus"
REFERENCE_COOLDOWN = -10


def cubic_progress(step: int, total_steps: int, warmup: float, cooldown: float) -> float:
    """Progress x between the plateaus: 0 up to step `warmup`, 1 after step total - cooldown, linear between.

    Args:
        step: optimizer steps done, >= 0.
        total_steps: steps of the run, >= 1.
        warmup: steps of the first plateau.
        cooldown: steps of the last plateau.
    Returns:
        x in [0, 1]; plateaus that leave no room between them give a step from 0 to 1 after the first.

    >>> [cubic_progress(step, 10, 2, 4) for step in (0, 2, 4, 6, 10)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    if step <= warmup:
        return 0.0
    if step >= total_steps - cooldown:
        return 1.0
    return (step - warmup) / (total_steps - warmup - cooldown)


@dataclass(frozen=True)
class Schedule:
    """tau_t = tau_f + (tau_0 - tau_f) (1 - x)^3, with x the progress between the two plateaus.

    Source:
        arXiv 2207.02463. Its published call hands -1 over as the steps of warm-up, which makes both plateaus negative: the rise
        starts before step 0 and ends 10 steps after the run. `reference` does the same.

    >>> schedule = Schedule(final=0.1, warmup=0.1, cooldown=0.2)
    >>> [round(schedule.threshold(step, 100), 4) for step in (0, 10, 45, 80, 100)]
    [0.0, 0.0, 0.0875, 0.1, 0.1]
    """

    initial: float = 0.0
    """tau_0, threshold of the first plateau, in [0, 1)."""
    final: float = 0.1
    """tau_f, threshold of the last plateau, in [0, 1)."""
    warmup: float = 0.0
    """Share of the run on the first plateau, in [0, 1]."""
    cooldown: float = 0.0
    """Share of the run on the last plateau, in [0, 1]; with warmup at most 1."""
    reference: bool = False
    """Plateaus as the published code has them (none, and the end missed by 10 steps); warmup and cooldown must be 0."""

    def __post_init__(self) -> None:
        for name in ("initial", "final"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"the {name} threshold is {getattr(self, name)}: it must be at least 0 and below 1")
        if min(self.warmup, self.cooldown) < 0 or self.warmup + self.cooldown > 1:
            raise ValueError(
                f"warmup {self.warmup} and cooldown {self.cooldown} are shares of the run: each at least 0, together at most 1"
            )
        if self.reference and (self.warmup or self.cooldown):
            raise ValueError("the reference schedule has no plateaus: set warmup and cooldown to 0")

    def threshold(self, step: int, total_steps: int) -> float:
        """tau at a step.

        Args:
            step: optimizer steps done, >= 0; those past the end count as the end.
            total_steps: steps of the run, >= 1.
        Returns:
            The threshold.
        Raises:
            ValueError: a negative step, or a run of no steps.
        """
        if step < 0 or total_steps < 1:
            raise ValueError(f"step {step} of {total_steps}: steps count from 0, in a run of at least 1")
        plateaus = (self.warmup * total_steps, self.cooldown * total_steps)
        if self.reference:
            plateaus = (REFERENCE_WARMUP, REFERENCE_COOLDOWN)
        x = cubic_progress(step, total_steps, *plateaus)
        return self.final + (self.initial - self.final) * (1 - x) ** 3

    def penalty(self, step: int, total_steps: int, final_penalty: float, mode: PenaltyMode = "constant") -> float:
        """Weight lambda of the regulariser at a step: lambda_f throughout, or lambda_f * tau_t / tau_f.

        Args:
            step: as `threshold`.
            total_steps: as `threshold`.
            final_penalty: lambda_f, >= 0.
            mode: `constant` (what the published run amounts to, with weight 1) or `threshold`.
        Returns:
            The weight.
        Raises:
            ValueError: an unknown mode, a negative weight, or `threshold` with a final threshold of 0.

        >>> Schedule(final=0.1).penalty(5, 10, final_penalty=50.0, mode="threshold")
        43.75
        """
        if final_penalty < 0:
            raise ValueError(f"the penalty's weight is {final_penalty}: it must be at least 0")
        if mode == "constant":
            return final_penalty
        if mode != "threshold":
            raise ValueError(f"penalty schedule {mode!r} is neither constant nor threshold")
        if self.final == 0:
            raise ValueError("a penalty that follows the threshold needs a final threshold above 0")
        return final_penalty * self.threshold(step, total_steps) / self.final
