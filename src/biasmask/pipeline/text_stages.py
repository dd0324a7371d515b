"""What the stages of the text family share: the context with its sentences, and the folder of a finished stage."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save

from biasmask.data.sentences import SentenceTable
from biasmask.data.token_batches import ordered_batches
from biasmask.data.word_lists import WordLists
from biasmask.files import write_atomically
from biasmask.pipeline.context import Context
from biasmask.pipeline.stages import StoredStage
from biasmask.pipeline.store import hash_of
from biasmask.pipeline.text_state import TextState, read_masks, read_projection, save_masks, save_projection

Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sentences:
    """The sentences of a run and their parts.

    Args:
        table: all that were extracted.
        parts: `train` and `held_out`, each kind -> rows of the table.
        name: of the data set.
        attribute: name of the word lists.
        tokens_per_batch: sentences times longest where nothing is trained.
        lists: the word lists that they were found by.
    """

    table: SentenceTable
    parts: dict[str, Rows]
    name: str
    attribute: str
    tokens_per_batch: int = 4096
    lists: WordLists | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        return self.table.kinds[:-1]

    def key(self) -> str:
        """Hash of the sentences of both parts."""
        rows = {part: {kind: r.tolist() for kind, r in kinds.items()} for part, kinds in self.parts.items()}
        return hash_of({"table": self.table.key, "rows": rows})

    def rows(self, part: str) -> np.ndarray:
        """All rows of a part."""
        return np.concatenate(list(self.parts[part].values()))

    def texts(self, part: str, kind: str) -> list[str]:
        """The sentences of a part and kind, as they stand in their files."""
        return [self.table.text(row) for row in self.parts[part][kind]]

    def batches(self, part: str, kinds: tuple[str, ...]) -> Callable[[], Iterator[dict[str, Any]]]:
        """Makes a walk over all sentences of a part and some kinds, sorted by length."""
        rows = np.concatenate([self.parts[part][kind] for kind in kinds])
        return lambda: iter(ordered_batches(self.table, rows, self.tokens_per_batch))


@dataclass
class TextContext(Context):
    """The surroundings of a text stage: as of an image stage, with sentences in the place of images.

    Args:
        sentences: the sentences of the run.
        original: the encoder before all stages.
    """

    sentences: Sentences = None  # type: ignore[assignment]
    original: TextState = None  # type: ignore[assignment]


class TextStage(StoredStage):
    """A stage whose model is a text encoder; only what differs from the model before is written."""

    def save(self, folder: Path, name: str, state: TextState) -> None:  # type: ignore[override]
        write_atomically(folder / "model.safetensors", save(state.weights, {"stage": name}))
        write_atomically(folder / "model.json", json.dumps({"model_class": state.model_class, "config": state.config}) + "\n")
        save_masks(folder, state)
        save_projection(folder, state)

    def read(self, folder: Path, before: TextState) -> TextState:  # type: ignore[override]
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
        state = TextState(before.name, about["model_class"], about["config"], weights, before.tokenizer)
        return replace(read_masks(folder, state), projection=read_projection(folder))
