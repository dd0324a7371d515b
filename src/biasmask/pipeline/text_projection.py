"""Stages of the text family that train no weight: a projection is found on training sentences and becomes part of the model.

Embeddings are what the judge looks at: the last layer, projected as the model before was, pooled.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biasmask.data.counterparts import Counterparts
from biasmask.errors import ConfigError, MethodError
from biasmask.methods.null_space import inlp_projection, random_projection, removed_rank
from biasmask.methods.sentence_debias import sentence_debias_projection
from biasmask.models.text_encoder import embed_texts
from biasmask.pipeline.setup import progress_bar
from biasmask.pipeline.stages import Outcome
from biasmask.pipeline.structure import weight_facts
from biasmask.pipeline.text_stages import TextContext, TextStage
from biasmask.pipeline.text_state import TextState

POOLINGS = ("mean", "cls")


@dataclass
class ProjectionStage(TextStage):
    """What the stages that look at sentences share.

    Args:
        pooling: sentence embedding that the projection is found on: `mean` or `cls`; it is applied to both.
        max_sentences: training sentences of each group at most, drawn by the seed; null: all.
    """

    pooling: str
    max_sentences: int | None

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling={self.pooling}: choose one of {', '.join(POOLINGS)}")

    def inputs(self, state: TextState | None, context: TextContext) -> dict[str, Any]:  # type: ignore[override]
        lists = context.sentences.lists
        return {"sentences": context.sentences.key(), "parallel": lists.parallel if lists else None}

    def drawn(self, context: TextContext, group: str) -> list[str]:
        """The training sentences of a group, as many as may be looked at."""
        texts = context.sentences.texts("train", group)
        if self.max_sentences is None or len(texts) <= self.max_sentences:
            return texts
        keep = np.sort(np.random.default_rng(context.seed).permutation(len(texts))[: self.max_sentences])
        return [texts[i] for i in keep]

    def embeddings(self, state: TextState, context: TextContext, texts: list[str], label: str) -> Tensor:
        """(N, D), by the model before this stage."""
        device = context.single_trainer(label).strategy.root_device
        with progress_bar(label, context.progress) as update:
            found = embed_texts(
                state.network(), state.tokenizer, texts, device=device, progress=update, projection=state.projection
            )
        return found[self.pooling]


@dataclass
class NullSpace(ProjectionStage):
    """INLP: remove what linear classifiers read of the groups off sentences with words of one group alone.

    Args:
        n_iterations, penalty, held_share, margin, max_steps: see `methods.null_space.inlp_projection`.
    """

    n_iterations: int
    penalty: float
    held_share: float
    margin: float
    max_steps: int

    def work(self, name: str, state: TextState | None, context: TextContext, folder: Path) -> Outcome:  # type: ignore[override]
        assert state is not None
        texts = {group: self.drawn(context, group) for group in context.sentences.groups}
        x = self.embeddings(state, context, [text for part in texts.values() for text in part], name)
        group = torch.repeat_interleave(torch.arange(len(texts)), torch.tensor([len(part) for part in texts.values()]))
        settings = (self.n_iterations, self.penalty, self.held_share, self.margin, self.max_steps, context.seed)
        try:
            projection, accuracies = inlp_projection(x, group, *settings)
        except ValueError as error:
            raise MethodError(f"stage {name}: {error}") from error
        chance = accuracies and accuracies[-1] <= 1 / len(texts) + self.margin
        read = ", ".join(f"{value:.3f}" for value in dict.fromkeys([*accuracies[:1], *accuracies[-1:]]))
        notes = [f"balanced accuracy of the first and the last classifier on sentences held back: {read}"]
        if not chance:
            notes.append(
                f"the last of {len(accuracies)} classifiers could still tell the groups apart before what it reads was removed; "
                "whether another one could was not tried: raise n_iterations"
            )
        return projected(state, projection, "null space of classifiers", notes)


@dataclass
class SentenceDebias(ProjectionStage):
    """Remove the main directions in which a sentence differs from itself with its attribute words swapped.

    Args:
        n_components: directions that are removed.
    """

    n_components: int

    def work(self, name: str, state: TextState | None, context: TextContext, folder: Path) -> Outcome:  # type: ignore[override]
        assert state is not None and context.sentences.lists is not None
        swap = Counterparts(context.sentences.lists)
        texts = [text for group in context.sentences.groups for text in self.drawn(context, group)]
        rows = [row for row in map(swap.variants, texts) if row is not None]
        if not rows:
            raise MethodError(f"stage {name}: none of {len(texts):,} sentences has words with a counterpart in the lists")
        flat = [text for variant in zip(*rows, strict=True) for text in variant]
        variants = self.embeddings(state, context, flat, name).unflatten(0, (len(rows[0]), len(rows)))
        try:
            projection, share = sentence_debias_projection(variants, self.n_components)
        except ValueError as error:
            raise MethodError(f"stage {name}: {error}") from error
        examples = ", ".join("/".join(row) for row in context.sentences.lists.parallel[:3])
        notes = [
            f"{len(rows):,} of {len(texts):,} sentences written for each group, by words such as {examples}",
            f"the directions removed hold {sum(share):.0%} of the variance between the variants",
        ]
        return projected(state, projection, "components of sentence pairs", notes)


@dataclass
class RandomProjection(TextStage):
    """Control: as many directions as the stage before removed, drawn at random, of the encoder that it started from."""

    def inputs(self, state: TextState | None, context: TextContext) -> dict[str, Any]:  # type: ignore[override]
        return {"original": context.original.key}

    def work(self, name: str, state: TextState | None, context: TextContext, folder: Path) -> Outcome:  # type: ignore[override]
        if state is None or state.projection is None:
            raise ConfigError(f"stage {name} needs the projection of a stage before: put `inlp` or `sentence_debias` before it")
        size = len(state.projection)
        drawn = random_projection(size, removed_rank(state.projection), context.seed)
        return projected(context.original, drawn, "random", [])


def projected(before: TextState, projection: Tensor, what: str, notes: list[str]) -> Outcome:
    """The model with a projection after the one that it has, and how much that removes."""
    whole = projection if before.projection is None else before.projection @ projection
    after = replace(before, projection=whole)
    rank, size = removed_rank(whole), len(whole)
    if rank == 0:
        notes = [*notes, "nothing was removed: the model is the one before"]
    facts = weight_facts(before.weights, after.weights, frozen=True)
    return Outcome(after, f"{rank} of {size} directions removed, {what}", None, facts, tuple(notes))  # type: ignore[arg-type]
