"""What all stages share: the key, the reuse of a finished stage, its record and its artefacts on disk."""

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import lightning
from safetensors.torch import load_file, save

from biasmask.files import write_atomically, write_json
from biasmask.pipeline.checkpoints import load_model, save_model
from biasmask.pipeline.context import Context, ModelState, StageRecord
from biasmask.pipeline.store import hash_of
from biasmask.pipeline.structure import read_block_mask, write_block_mask


class Stage(Protocol):
    """One step of a run: it takes the model of the step before and gives a model."""

    def run(self, name: str, state: ModelState | None, context: Context) -> ModelState: ...


@dataclass(frozen=True)
class Outcome:
    """What the work of a stage gives: the model, and what is to be told about it."""

    state: ModelState
    label: str
    epochs: int | None = None
    facts: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class StoredStage:
    """A stage whose result is kept in the store under everything that determined it.

    Subclasses are dataclasses of primitives (their fields are part of the key) and define `work` and `inputs`. One that leaves
    the choice among its epochs to the run's selection rule says so by `selects`.
    """

    selects: ClassVar[bool] = False

    def require(self, hyper: dict[str, Any]) -> None:
        """Refuse a network that the stage can't work on, before anything is trained; by default none is."""

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        """JSON-able description of all that determines the result, beside the stage's own fields."""
        raise NotImplementedError

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        """Do it; `folder` may take further artefacts."""
        raise NotImplementedError

    def stored(self, state: ModelState | None, context: Context) -> bool:
        """Whether the result is in the store."""
        return context.store.folder(self._kind(), hash_of(self._all_inputs(state, context))).is_dir()

    def _kind(self) -> str:
        return type(self).__name__.lower()

    def _all_inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {
            "stage": type(self).__name__,
            "settings": asdict(self),  # type: ignore[call-overload]
            "model": state.key if state else None,
            "seed": context.seed,
            **self.inputs(state, context),
        }

    def run(self, name: str, state: ModelState | None, context: Context) -> ModelState:
        """The model after this stage, from the store if it was made before."""
        kind, inputs = self._kind(), self._all_inputs(state, context)
        started, before = time.monotonic(), context.clock.now()

        def make(folder: Path) -> None:
            lightning.seed_everything(context.seed, workers=True, verbose=False)
            outcome = self.work(name, state, context, folder)
            self.save(folder, name, outcome.state)
            record = {
                "label": outcome.label,
                "epochs": outcome.epochs,
                "seconds": round(time.monotonic() - started, 3),
                "spent": context.spent_since(before),
                "notes": list(outcome.notes),
                **(outcome.facts or {}),
            }
            write_json(folder / "record.json", record)

        folder, reused = context.store.obtain(kind, hash_of(inputs), make, inputs)
        record = json.loads((folder / "record.json").read_text())
        context.records.append(StageRecord(stage=name, reused=reused, **record))
        context.history.extend({**row, "stage": name} for row in read_history(folder))
        if (choice := folder / "selection.json").is_file():
            context.selections[name] = json.loads(choice.read_text())
        return self.read(folder, state)

    def save(self, folder: Path, name: str, state: ModelState) -> None:
        """Write the model that the work gave; stages of another family of models write theirs."""
        save_model(folder / "model.ckpt", state, {"stage": name})
        if state.mask is not None:
            write_atomically(folder / "mask.safetensors", save(state.mask))
            write_json(folder / "mask.json", state.mask_info)
        write_block_mask(folder, state.block_masks, state.block_info)

    def read(self, folder: Path, _before: ModelState | None) -> ModelState:
        """The model that `save` wrote."""
        return read_state(folder)


def read_state(folder: Path) -> ModelState:
    """The model that a finished stage left in its folder."""
    state = load_model(folder / "model.ckpt")[0]
    if (blocks := read_block_mask(folder)) is not None:
        state = replace(state, block_masks=blocks[0], block_info=blocks[1])
    if not (folder / "mask.safetensors").is_file():
        return state
    mask_info = json.loads((folder / "mask.json").read_text())
    return replace(state, mask=load_file(folder / "mask.safetensors"), mask_info=mask_info)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The training curves of a stage, one row an epoch and figure."""
    path = folder / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def epochs_done(trainer: lightning.Trainer, folder: Path) -> int:
    """Epochs that a training lasted; under several processes the Trainer of this one doesn't know, and the history does."""
    return max([trainer.current_epoch, *(row["epoch"] + 1 for row in read_history(folder))])


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence what Lightning warns about and what is meant here: loaders without workers, walks without an optimizer."""
    with warnings.catch_warnings():
        for message in (
            r".*does not have many workers.*",
            r".*configure_optimizers.* returned .None.*",
            r".*The number of training batches.*",
            r".*training_step. returned .None.*",
            r".*lr_scheduler.step.*",
            r".*custom batch sampler.*",
            r".*You are trying to .self.log.*",
            r".*MPS available but not used.*",
            r".*GPU available but not used.*",
            r".*GLOO.*|.*gloo.*",
            r".*isinstance\(treespec, LeafSpec\).*",
            r".*module\(s\) in eval mode at the start of training.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield
