"""A text run's folder as the report sees it: what every run has, p-values, and the map of what was pruned."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasmask.report.formats import number
from biasmask.report.run_folder import Estimate, MetricKey, RunFolder, load_run_folder, read_json

SEAT_SPLIT = re.compile(r"seat(?P<test>[0-9]\w*?)?_(?P<pooling>[a-z]+)")
POOLING_WORDS = {"mean": "mean pooling", "cls": "[CLS] pooling"}
SMALLEST_P = 0.0001


@dataclass(frozen=True)
class PValue:
    """A p-value of a permutation test, and whether every partition was counted."""

    value: float
    exact: bool | None = None

    @property
    def text(self) -> str:
        """The value for a reader.

        >>> PValue(0.0123, True).text, PValue(0.00001, False).text
        ('p = 0.0123, exact', 'p < 0.0001')
        """
        if not math.isfinite(self.value):
            return "p undefined"
        shown = f"p < {SMALLEST_P}" if self.value < SMALLEST_P else f"p = {number(self.value, 4)}"
        return shown + (", exact" if self.exact else "")


@dataclass(frozen=True)
class TextRun:
    """What the report reads of a text run's folder."""

    folder: RunFolder
    p_values: dict[str, dict[str, PValue]]  # model -> key -> p-value
    blocks: dict[str, Any] | None  # block_mask.json

    @property
    def pooling(self) -> str:
        """The sentence embedding that the verdict speaks of."""
        return str(self.folder.run.get("pooling") or "mean")

    @property
    def poolings(self) -> list[str]:
        """Every pooling that has SEAT figures, the verdict's first."""
        found = dict.fromkeys(seat[1] for key in self.folder.keys if (seat := seat_of(key.split)))
        return sorted(found, key=lambda pooling: pooling != self.pooling)

    @property
    def nothing_pruned(self) -> bool:
        """Whether there are pruning scores, and all of them kept their block."""
        return bool(self.blocks) and self.blocks.get("kept") == self.blocks.get("total")  # type: ignore[union-attr]

    @property
    def weights_changed(self) -> bool:
        return any(stage.get("edited") for stage in self.folder.stages)

    @property
    def changed(self) -> bool:
        """Whether the final encoder is another one than the base."""
        return self.folder.compares and not (self.nothing_pruned and self.folder.stages and not self.weights_changed)

    def mean_key(self, pooling: str) -> MetricKey | None:
        """Key of the mean |d| over the tests with a pooling, of the debiased attribute if it has one."""
        keys = [key for key in self.folder.keys if key.split == f"seat_{pooling}" and key.metric == "mean_abs_effect_size"]
        return min(keys, key=lambda key: key.attribute != self.folder.attribute, default=None)

    def cosine(self, pooling: str | None = None) -> Estimate | None:
        """Mean cosine of the final encoder's sentence embeddings to the original's."""
        return self.folder.estimate(self.folder.final, f"cost/cosine_{pooling or self.pooling}")

    def p_value(self, model: str, key: MetricKey) -> PValue | None:
        return self.p_values.get(model, {}).get(str(key))


def load_text_run(run_dir: Path | str) -> TextRun:
    """Read the folder of a text run or of an evaluation of an encoder.

    Args:
        run_dir: Folder with at least `metrics.json`; any other file may be missing.

    Returns:
        Its content.

    Raises:
        StoreError: No `metrics.json`, a JSON file that can't be parsed, or no model in it.
    """
    folder = load_run_folder(run_dir)
    models = read_json(folder.path / "metrics.json")["models"]
    p_values = {
        model: {
            key: PValue(float(entry["p_value"]), entry.get("exact"))
            for key, entry in entries.items()
            if entry.get("p_value") is not None
        }
        for model, entries in models.items()
    }
    return TextRun(folder, p_values, folder.blocks)


def seat_of(split: str) -> tuple[str, str] | None:
    """Test and pooling of the first part of a key; the test is empty for the mean over all tests.

    >>> seat_of("seat6b_cls"), seat_of("seat_mean"), seat_of("probe")
    (('6b', 'cls'), ('', 'mean'), None)
    """
    match = SEAT_SPLIT.fullmatch(split)
    return None if match is None else (match["test"] or "", match["pooling"])


def pooling_words(pooling: str) -> str:
    return POOLING_WORDS.get(pooling, f"{pooling} pooling")
