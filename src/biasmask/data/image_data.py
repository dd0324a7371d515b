"""All data of a run in one place: the table, its pixels, its groups, and loaders over any rows of it."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from biasmask.data.attributes import EncodedAttribute, encode_attribute
from biasmask.data.batches import PixelDataset, make_loader
from biasmask.data.checker import CheckReport, check_table
from biasmask.data.pixel_store import PixelStore, open_pixel_store
from biasmask.data.samplers import BalancedRows, GroupTargetBatches, IndexBatches, SequentialBatches, ShuffledBatches
from biasmask.data.table import Table
from biasmask.errors import ConfigError, DataError

SPLITS = ("train", "debias", "val", "test")


@dataclass(frozen=True)
class ImageData:
    """A table whose images are decoded, with its sensitive attributes.

    Args:
        table: N rows.
        store: the pixels, uint8 (N, S, S, 3).
        attributes: name -> groups of each row.
        eval_batch_size: images a batch where nothing is trained.
        num_workers, pin_memory: of the DataLoaders.
    """

    table: Table
    store: PixelStore
    attributes: dict[str, EncodedAttribute]
    eval_batch_size: int = 256
    num_workers: int = 0
    pin_memory: bool = False

    @property
    def target(self) -> np.ndarray:
        return self.table.frame["target"].to_numpy()

    def rows(self, split: str) -> np.ndarray:
        """Table rows of a split whose image can be read, in the table's order."""
        return np.flatnonzero((self.table.frame["split"].to_numpy() == split) & self.store.readable)

    def class_counts(self, rows: np.ndarray) -> tuple[int, int]:
        """Number of positives and of negatives among the rows."""
        positive = int(self.target[rows].sum())
        return positive, len(rows) - positive

    def fingerprint(self, splits: Iterable[str], attribute: str | None) -> str:
        """Hash of pixels, targets and (where an attribute is named) groups of some splits: what a stage's result depends on."""
        digest = hashlib.sha256(self.store.fingerprint.encode())
        for split in splits:
            rows = self.rows(split)
            digest.update(f"{split}:{len(rows)}".encode())
            digest.update(rows.astype(np.int64).tobytes() + self.target[rows].astype(np.int64).tobytes())
            if attribute is not None:
                encoded = self.attributes[attribute]
                digest.update("|".join(encoded.group_names).encode() + encoded.index[rows].tobytes())
        return digest.hexdigest()

    def require(self, split: str) -> None:
        """Raise where a split that is needed has no row, or rows of one class only.

        Raises:
            DataError: with the splits that there are.
        """
        rows = self.rows(split)
        counts = {name: len(self.rows(name)) for name in SPLITS}
        if len(rows) == 0:
            trained = "give a trained model as model.ckpt_path=..., " if split == "train" else ""
            raise DataError(
                f"data set {self.table.name} has no readable row in the split `{split}` (rows: {counts}); {trained}name the "
                "split column as data.split=..., or set the shares as data.fractions={train: 0, debias: .5, val: .2, test: .3}"
            )
        if 0 in self.class_counts(rows):
            name = self.table.class_names[int(self.class_counts(rows)[0] > 0)]
            raise DataError(f"split `{split}` of {self.table.name} has {len(rows)} rows, all of the class {name}")

    def loader(
        self,
        rows: np.ndarray,
        batches: str,
        batch_size: int | None = None,
        seed: int = 0,
        attribute: EncodedAttribute | None = None,
        dataset: Any = None,
        even: bool = True,
    ) -> DataLoader[dict[str, Any]]:
        """A loader over table rows.

        Args:
            rows: table rows.
            batches: `sequential`, `shuffled`, `group_target` or `balanced`; the last two look at the attribute.
            batch_size: default `eval_batch_size`.
            seed: of the order.
            attribute: the sensitive attribute.
            dataset: serve these items (features) instead of images; position i belongs to `rows[i]`.
            even: under several processes, give each the same number of batches, as a training needs; evaluation (no batch
                size given) isn't shared out at all, so that each process sees the same figures.
        """
        if len(rows) == 0:
            raise DataError(f"data set {self.table.name}: no rows to load")
        if dataset is None:
            groups = {name: encoded.index for name, encoded in self.attributes.items()}
            dataset = PixelDataset(self.store.images, self.target, groups, rows)
        size = self.eval_batch_size if batch_size is None else batch_size
        sampler = self._sampler(rows, batches, size, seed, attribute)
        sampler.even = even
        sampler.deal(batch_size is not None)
        return make_loader(dataset, sampler, self.num_workers, self.pin_memory)

    def _sampler(
        self, rows: np.ndarray, batches: str, size: int, seed: int, attribute: EncodedAttribute | None
    ) -> IndexBatches:
        if batches == "sequential":
            return SequentialBatches(len(rows), size, seed=seed)
        if batches == "shuffled":
            return ShuffledBatches(len(rows), size, drop_last=True, seed=seed)
        if attribute is None or batches not in ("group_target", "balanced"):
            raise ConfigError(f"batches={batches}: choose sequential, shuffled, group_target or balanced")
        target, group = self.target[rows], attribute.index[rows]
        kind = GroupTargetBatches if batches == "group_target" else BalancedRows
        return kind(target, group, size, seed=seed)

    def check(self, attributes: Sequence[EncodedAttribute]) -> CheckReport:
        return check_table(self.table, list(attributes), self.store.unreadable)


def open_image_data(
    source: Any,
    definitions: dict[str, Any] | None,
    attributes: Sequence[str],
    image_size: int,
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
    **loading: Any,
) -> ImageData:
    """Load the table of a source, encode its attributes and open (or build) its pixels.

    Args:
        source: has `load() -> Table`, and `render` where it makes its own pixels.
        definitions: attribute definitions of the data config.
        attributes: names to encode, the debiased one first.
        image_size: side of the square in pixels.
        cache_dir: folder of the pixel stores.
        progress: called with (rows done, rows).
        loading: `eval_batch_size`, `num_workers`, `pin_memory`.
    """
    table = source.load()
    encoded = {name: encode_attribute(name, definitions, table) for name in dict.fromkeys(attributes)}
    store = open_pixel_store(table, image_size, cache_dir, source, progress)
    return ImageData(table, store, encoded, **loading)
