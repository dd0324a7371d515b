"""From the pixel store to batches: a batch is read at once, never item by item."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from biasmask.data.samplers import IndexBatches
from biasmask.errors import DataError

Batch = dict[str, Any]
ASKED_FOR = 2**30  # bytes: of a larger map rows are asked for before they are touched


class PixelDataset(Dataset[Batch]):
    """Rows of a pixel store with their targets and groups; position i of the dataset is row `rows[i]` of the table.

    Args:
        images: uint8 (N, S, S, 3), a memory map or an array, or what gives arrays of rows as they do (`ShardedImages`).
        target: int (N,), class indices.
        groups: per attribute int (N,), -1 where missing.
        rows: int (M,), the table rows of this dataset; None means all N.
        in_memory: copy the pixels of `rows` to RAM. Without it they are read from the map, whose pages all
            processes share and the system keeps in RAM while it has room.

    Raises:
        DataError: lengths that differ, or a row outside the table.

    >>> data = PixelDataset(np.zeros((3, 4, 4, 3), np.uint8), [0, 1, 1], {"sex": [0, -1, 1]}, rows=[2, 0])
    >>> batch = data.__getitems__([0, 1])
    >>> tuple(batch["image"].shape), batch["row"].tolist(), batch["group"]["sex"].tolist()
    ((2, 3, 4, 4), [2, 0], [1, 0])
    """

    def __init__(
        self,
        images: Any,
        target: Sequence[int] | np.ndarray,
        groups: Mapping[str, Sequence[int] | np.ndarray],
        rows: Sequence[int] | np.ndarray | None = None,
        in_memory: bool = False,
    ) -> None:
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(f"images are {images.dtype} {images.shape}; expected uint8 (N, size, size, 3)")
        for name, values in (("target", target), *((f"group {key}", value) for key, value in groups.items())):
            if len(values) != len(images):
                raise DataError(f"{name} has {len(values)} values for {len(images)} images")
        rows = np.arange(len(images)) if rows is None else np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(images)):
            raise DataError(f"rows from {rows.min()} to {rows.max()} do not lie in a table of {len(images)} rows")
        self.rows = torch.tensor(rows)
        self.target = torch.tensor(np.asarray(target, dtype=np.int64)[rows])
        self.groups = {key: torch.tensor(np.asarray(value, dtype=np.int64)[rows]) for key, value in groups.items()}
        self._images = np.ascontiguousarray(images[rows]) if in_memory else images
        self._place = torch.arange(len(rows)) if in_memory else self.rows
        self._pixels = _as_tensor(self._images)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Batch:
        return self.__getitems__([position])

    def __getitems__(self, positions: Sequence[int] | np.ndarray | Tensor) -> Batch:
        """The batch of these positions, in their order: image uint8 (B, 3, S, S) channels_last, target, group, row."""
        index = torch.as_tensor(positions, dtype=torch.int64)
        # Sorted, a memory map that is not in RAM yet is read forwards; the second gather is of data that is.
        place, order = self._place.index_select(0, index).sort()
        image = self._images_of(place)
        if not bool((order[1:] > order[:-1]).all()):
            image = image.index_select(0, order.argsort())
        return {
            "image": image.permute(0, 3, 1, 2),
            "target": self.target.index_select(0, index),
            "group": {key: value.index_select(0, index) for key, value in self.groups.items()},
            "row": self.rows.index_select(0, index),
        }

    def _images_of(self, place: Tensor) -> Tensor:
        ask_for(self._images, place.numpy())
        if self._pixels is None:
            return torch.from_numpy(self._images[place.numpy()])
        return self._pixels.index_select(0, place)

    def __getstate__(self) -> dict[str, Any]:
        """A worker that is spawned opens the map itself: pickling it would copy the whole file."""
        state = self.__dict__ | {"_pixels": None}
        if isinstance(self._images, np.memmap) and self._images.filename is not None:
            state["_images"] = (str(self._images.filename), self._images.offset, self._images.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["_images"], tuple):
            file, offset, shape = state["_images"]
            state["_images"] = np.memmap(file, np.uint8, "r", offset, shape)
        self.__dict__.update(state)
        self._pixels = _as_tensor(self._images)


def ask_for(images: Any, rows: np.ndarray) -> None:
    """Tell the system which rows of a large map are read next, all at once and these alone.

    Touching a page that is not in RAM reads what lies around it as well (128 kB on most machines, megabytes on some), which in a
    store larger than memory is thrown away before it is used: 112 rows a second instead of 10,220 (docs/performance.md). Small
    maps are left to that: they are soon in RAM.

    Args:
        images: (N, S, S, 3), a memory map; anything else is left alone.
        rows: (B,) in rising order.
    """
    pages = images.base if isinstance(images, np.memmap) else None
    if not isinstance(pages, mmap.mmap) or images.nbytes < ASKED_FOR or not hasattr(mmap, "MADV_WILLNEED") or not len(rows):
        return
    runs = page_runs(rows, images.strides[0], images.offset % mmap.ALLOCATIONGRANULARITY)
    for start, length in runs if len(runs) > len(rows) // 8 else ():  # reading on is faster for rows that lie together
        pages.madvise(mmap.MADV_WILLNEED, start, length)


def page_runs(rows: np.ndarray, size: int, header: int) -> list[tuple[int, int]]:
    """Stretches of a file, (start, length) in bytes from the start of a page, that hold rows in rising order.

    >>> [(start // mmap.PAGESIZE, length) for start, length in page_runs(np.array([0, 1, 1, 9]), mmap.PAGESIZE, 128)]
    [(0, 8320), (9, 4224)]
    """
    breaks = np.flatnonzero(np.diff(rows) > 1) + 1
    first, last = rows[np.r_[0, breaks]], rows[np.r_[breaks - 1, len(rows) - 1]]
    starts = (header + first * size) // mmap.PAGESIZE * mmap.PAGESIZE
    return list(zip(starts.tolist(), (header + (last + 1) * size - starts).tolist(), strict=True))


def make_loader(
    dataset: PixelDataset, batch_sampler: IndexBatches, num_workers: int = 0, pin_memory: bool = False
) -> DataLoader[Batch]:
    """A DataLoader whose batches are what the dataset gives; as pixels are decoded, no worker (0) is usually fastest.

    Args:
        dataset: the rows.
        batch_sampler: positions of the dataset, from `biasmask.data.samplers`.
        num_workers: processes that read; kept alive between epochs.
        pin_memory: page-locked memory, for a GPU.

    >>> from biasmask.data.samplers import SequentialBatches
    >>> data = PixelDataset(np.zeros((3, 4, 4, 3), np.uint8), [0, 1, 1], {})
    >>> [len(batch["row"]) for batch in make_loader(data, SequentialBatches(len(data), 2))]
    [2, 1]
    """
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,  # type: ignore[arg-type]
        num_workers=num_workers,
        pin_memory=pin_memory,
        collate_fn=_whole_batch,
        persistent_workers=num_workers > 0,
    )


def _whole_batch(batch: Any) -> Any:
    return batch


def _as_tensor(images: Any) -> Tensor | None:
    """A tensor on the same memory; nothing here writes to it, so that the map may be read-only. None: no memory of all rows."""
    if not isinstance(images, np.ndarray):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(images)
