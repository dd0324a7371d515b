"""What a run is about to do, told before it does it, and where its time went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from biasmask.pipeline.context import Context
from biasmask.pipeline.memory import tidy_up


class Times:
    """Seconds of a run by phase, of a monotonic clock: `data`, each stage, `judging`."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.phases: dict[str, float] = {}
        self.stages: dict[str, float] = {}

    @contextmanager
    def of(self, name: str, stage: bool = False) -> Iterator[None]:
        """Add the time of a block to a phase, or to a stage."""
        begun = time.monotonic()
        try:
            yield
        finally:
            book = self.stages if stage else self.phases
            book[name] = book.get(name, 0.0) + time.monotonic() - begun

    def to_dict(self) -> dict[str, Any]:
        """As `times` in run.json: `total` until now, the phases, and what each stage took in this run, reused or not."""
        return {
            "total": round(time.monotonic() - self.started, 3),
            **{name: round(seconds, 3) for name, seconds in self.phases.items()},
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
        }


class Plan:
    """Runs the stages of a run one by one, and says before the first that takes time which are in the store and which aren't.

    Which stages are in the store is known one after the other: the key of a stage holds the model that the one before gave.

    Args:
        stages: all stages of the run in their order; None for a model that is there already.
        last: what follows the stages.
        epochs: of a stage that has none of its own.
    """

    def __init__(self, stages: dict[str, Any], last: str, epochs: int | None, context: Context, console: Console, times: Times):
        self.stages, self.last, self.epochs = stages, last, epochs
        self.context, self.console, self.times = context, console, times
        self.told = False

    def run(self, name: str, state: Any) -> Any:
        """The model after a stage."""
        stage = self.stages[name]
        stored = getattr(stage, "stored", None)
        if not self.told and not (stored is not None and stored(state, self.context)):
            self.tell(name)
        with self.times.of(name, stage=True):
            state = stage.run(name, state, self.context)
        tidy_up(state)
        return state

    def tell(self, first: str | None = None) -> None:
        """Print the plan once; `first` is the first stage that isn't in the store, None where all are."""
        if self.told:
            return
        self.told = True
        names = list(self.stages)
        at = len(names) if first is None else names.index(first)
        found = [name if self.stages[name] is not None else f"{name} (yours)" for name in names[:at]]
        parts = [f"found: {', '.join(found)}"] if found else []
        parts += [f"to do: {', '.join(map(self.words, names[at:]))}"] if names[at:] else []
        parts += [f"then {self.last}" if parts else self.last]
        self.console.print(f"plan: {'; '.join(parts)}", soft_wrap=True, highlight=False, markup=False)

    def words(self, name: str) -> str:
        """A stage with the epochs that it may take, where it has any."""
        stage = self.stages[name]
        epochs = getattr(stage, "epochs", self.epochs if name == "baseline" else None)
        return name if epochs is None else f"{name} ({epochs} epoch{'' if epochs == 1 else 's'})"
