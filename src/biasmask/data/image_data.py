"""All data of a run in one place: the table, its pixels, its groups, and loaders over any rows of it."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from biasmask.data.attributes import EncodedAttribute, encode_attribute
from biasmask.data.batches import PixelDataset, make_loader
from biasmask.data.checker import CheckReport, check_table
from biasmask.data.debias_share import nested_share
from biasmask.data.large_table import kept_numbers, lean_arrow
from biasmask.data.pixel_shards import open_shards
from biasmask.data.pixel_store import PixelStore, open_pixel_store
from biasmask.data.samplers import BalancedRows, EqualCells, GroupTargetBatches, IndexBatches, SequentialBatches, ShuffledBatches
from biasmask.data.table import Table, TableSource
from biasmask.errors import ConfigError, DataError

SPLITS = ("train", "debias", "val", "test")
BY_GROUP = {"group_target": GroupTargetBatches, "balanced": BalancedRows, "equal_cells": EqualCells}


@dataclass(frozen=True)
class ImageData:
    """A table whose images are decoded, with its sensitive attributes.

    Args:
        table: N rows.
        store: the pixels, uint8 (N, S, S, 3).
        attributes: name -> groups of each row, of all attributes that figures are made of.
        eval_batch_size: images a batch where nothing is trained.
        num_workers, pin_memory: of the DataLoaders.
        show_rows: name rows under problems of the checker's report.
        small_cell: cells with fewer rows are reported.
        unreported: further groups that batches hold and no figure is made of: the crossing of attributes debiased at once.
        unused: (N,) bool, rows that take part in nothing: those of the debias split beyond its share. None = no row.
    """

    table: Table
    store: PixelStore
    attributes: dict[str, EncodedAttribute]
    eval_batch_size: int = 256
    num_workers: int = 0
    pin_memory: bool = False
    show_rows: bool = False
    small_cell: int = 10
    unreported: dict[str, EncodedAttribute] = field(default_factory=dict)
    unused: np.ndarray | None = None

    @property
    def target(self) -> np.ndarray:
        return self.table.frame["target"].to_numpy()

    def rows(self, split: str) -> np.ndarray:
        """Table rows of a split whose image can be read, in the table's order."""
        usable = self.store.readable if self.unused is None else self.store.readable & ~self.unused
        return np.flatnonzero((self.table.frame["split"] == split).to_numpy() & usable)

    @property
    def n_classes(self) -> int:
        return len(self.table.class_names)

    @property
    def groups(self) -> dict[str, EncodedAttribute]:
        """Everything that batches hold groups of."""
        return {**self.attributes, **self.unreported}

    def rows_per_class(self, rows: np.ndarray) -> tuple[int, ...]:
        """How many of the rows belong to each class, in the order of the class names: (negatives, positives) for two."""
        return tuple(np.bincount(self.target[rows], minlength=self.n_classes).tolist())

    def seen_per_class(self, rows: np.ndarray, batches: str, attribute: EncodedAttribute | None) -> tuple[int, ...]:
        """How often an epoch of such batches shows each class: what class weights have to be made of.

        Balanced batches leave rows out, so that their classes are in other proportions than those of the split.
        """
        if batches in ("balanced", "equal_cells"):
            rows = rows[np.concatenate(self._sampler(rows, batches, len(rows), 0, attribute).all_batches())]
        return self.rows_per_class(rows)

    def fingerprint(self, splits: Iterable[str], attribute: str | Iterable[str] | None) -> str:
        """Hash of pixels, targets and (where they are named) groups of some splits: what a stage's result depends on."""
        names = [attribute] if isinstance(attribute, str) else [*(attribute or ())]
        digest = hashlib.sha256(self.store.fingerprint.encode())
        for split in splits:
            rows = self.rows(split)
            digest.update(f"{split}:{len(rows)}".encode())
            digest.update(rows.astype(np.int64).tobytes() + self.target[rows].astype(np.int64).tobytes())
            for name in names:
                encoded = self.groups[name]
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
        per_class = self.rows_per_class(rows)
        if max(per_class) == len(rows):
            name = self.table.class_names[per_class.index(len(rows))]
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
            batches: `sequential`, `shuffled`, `group_target`, `balanced` or `equal_cells`; the last three look at the attribute.
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
            groups = {name: encoded.index for name, encoded in self.groups.items()}
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
        if attribute is None or batches not in BY_GROUP:
            raise ConfigError(f"batches={batches}: choose sequential, shuffled, {', '.join(BY_GROUP)}")
        return BY_GROUP[batches](self.target[rows], attribute.index[rows], size, seed=seed)

    def check(self, attributes: Sequence[EncodedAttribute], debiased: int = 1) -> CheckReport:
        """The checker's report; the first `debiased` attributes are to be debiased."""
        memory = self.store.path.with_name("same_files.json")  # the store's key is of every file's size and time
        bad = self.store.unreadable
        with lean_arrow():
            return check_table(self.table, list(attributes), bad, self.small_cell, debiased, memory, show_rows=self.show_rows)


def open_image_data(
    source: Any,
    definitions: dict[str, Any] | None,
    attributes: Sequence[str],
    image_size: int,
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
    crossed: str | None = None,
    debias_share: float = 1.0,
    share_seed: int = 0,
    store_url: str | None = None,
    store_cache_gb: float = 20.0,
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
        crossed: an attribute such as sex+age whose groups batches need as well.
        debias_share: share of the debias split's rows that is used, of each group and target of the debiased attribute.
        share_seed: which rows these are.
        store_url: where the pixels were published; None = they are decoded here.
        store_cache_gb: most GB of local copies of them.
        loading: `eval_batch_size`, `num_workers`, `pin_memory`, `show_rows`, `small_cell`.
    """
    shards = open_shards(store_url, cache_dir, store_cache_gb) if store_url else None

    def attribute(name: str) -> EncodedAttribute:
        made = encode_attribute(name, definitions, table)
        return replace(made, index=kept_numbers(made.index, cache_dir))

    how: dict[str, Any] = {"folder": cache_dir} if isinstance(source, TableSource) else {}
    if shards and not hasattr(source, "render"):
        how["find"] = shards.find
    with lean_arrow():
        table = source.load(**how)
        encoded = {name: attribute(name) for name in dict.fromkeys(attributes)}
        unreported = {crossed: attribute(crossed)} if crossed is not None and crossed not in encoded else {}
    store = shards.store(table, image_size) if shards else open_pixel_store(table, image_size, cache_dir, source, progress)
    data = ImageData(table, store, encoded, unreported=unreported, **loading)
    if debias_share == 1:
        return data
    shared = next(iter({**unreported, **encoded}.values()))
    rows = data.rows("debias")
    strata = data.target[rows] * (len(shared.group_names) + 1) + shared.index[rows]
    unused = np.zeros(len(table.frame), dtype=bool)
    unused[rows] = ~nested_share(table.frame["subject"].iloc[rows].tolist(), strata, debias_share, share_seed)
    return replace(data, unused=unused)
