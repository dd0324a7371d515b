"""The losses of a model on held-out sentences, with attribute vectors of held-out sentences: what may be looked at to choose."""

import math
from typing import Any

from torch import Tensor

from biasmask.data.token_batches import ordered_loader
from biasmask.metrics.measurement import Measurement
from biasmask.modules.text_debias import Batch, TextDebiasModule, TextLosses
from biasmask.pipeline.stages import expected_warnings
from biasmask.pipeline.text_stages import TextContext
from biasmask.pipeline.text_state import TextState


class ProjectedModule(TextDebiasModule):
    """The losses of an encoder whose last layer is projected; without a projection those of the encoder."""

    projection: Tensor | None = None

    def outputs(self, batch: Batch) -> list[Tensor]:
        *others, last = super().outputs(batch)
        return [*others, last if self.projection is None else last @ self.projection.to(last)]


def held_out_figures(state: TextState, context: TextContext, losses: dict[str, Any]) -> dict[str, Measurement]:
    """`held_out/debias_loss` of the target sentences and `held_out/distance` of the attribute sentences.

    Args:
        losses: keyword arguments of `TextLosses`.
    """
    sentences = context.sentences
    attribute = sentences.batches("held_out", sentences.groups)
    module = ProjectedModule(state.network(), len(sentences.groups), TextLosses(**losses), attribute_batches=attribute)
    module.projection = state.projection
    module.original.net = context.original.network()
    rows = sentences.rows("held_out")
    with expected_warnings():
        found = context.single_trainer("held-out sentences").validate(
            module, ordered_loader(sentences.table, rows, sentences.tokens_per_batch), verbose=False
        )[0]
    targets = len(sentences.parts["held_out"][sentences.table.kinds[-1]])
    n = {"debias_loss": targets, "distance": len(rows) - targets}
    return {f"held_out/{name}": Measurement(float(found[f"val/{name}"]), math.nan, math.nan, count) for name, count in n.items()}
