"""Batches from the pixel store: right pixels in the right order, from map, RAM or a worker process."""

import mmap
import multiprocessing
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from biasmask.data import batches
from biasmask.data.attributes import EncodedAttribute
from biasmask.data.batches import PixelDataset, make_loader
from biasmask.data.image_data import ImageData
from biasmask.data.samplers import GroupTargetBatches, SequentialBatches, ShuffledBatches
from biasmask.errors import DataError

N, SIZE = 50, 8
TARGET = np.arange(N) % 2
GROUPS = {"sex": np.arange(N) % 3 - 1, "age": np.arange(N) % 4}


@pytest.fixture
def images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    return np.load(tmp_path / "pixels.npy", mmap_mode="r")


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("positions", [[3, 0, 4], [0, 1, 2], [4, 4, 1, 4], []])
def test_batch_of_positions(images, in_memory, positions):
    rows = np.array([40, 2, 17, 49, 8])
    data = PixelDataset(images, TARGET, GROUPS, rows, in_memory=in_memory)
    batch = data.__getitems__(positions)
    expected = rows[positions] if positions else rows[:0]
    assert batch["row"].tolist() == expected.tolist() and batch["row"].dtype == torch.int64
    assert batch["image"].dtype == torch.uint8 and batch["image"].shape == (len(positions), 3, SIZE, SIZE)
    assert np.array_equal(batch["image"].permute(0, 2, 3, 1).numpy(), images[expected])
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert batch["target"].tolist() == TARGET[expected].tolist() and batch["target"].dtype == torch.int64
    assert {key: value.tolist() for key, value in batch["group"].items()} == {
        key: value[expected].tolist() for key, value in GROUPS.items()
    }


def test_whole_table_single_item_and_length(images):
    data = PixelDataset(images, TARGET, GROUPS)
    assert len(data) == N and data[7]["row"].tolist() == [7]
    assert data.__getitems__(np.arange(N))["row"].tolist() == list(range(N))


def test_a_batch_owns_its_memory(images):
    data = PixelDataset(images, TARGET, {})
    data.__getitems__([0, 1])["image"].zero_()
    assert data.__getitems__([0])["image"].any()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_gives_the_sampler_s_batches(images, num_workers):
    data = PixelDataset(images, TARGET, GROUPS)
    sampler = GroupTargetBatches(TARGET, GROUPS["age"], 16, seed=1)
    loader = make_loader(data, sampler, num_workers=num_workers)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        got = [batch["row"].tolist() for batch in loader]
        assert got == list(sampler) and len(loader) == len(got)


def test_batches_together_are_the_whole(images):
    data = PixelDataset(images, TARGET, GROUPS)
    parts = [batch["image"] for batch in make_loader(data, SequentialBatches(N, 7))]
    assert torch.equal(torch.cat(parts), data.__getitems__(range(N))["image"])


def test_pickle_of_a_map_does_not_carry_the_pixels(images):
    data = PixelDataset(images, TARGET, GROUPS)
    packed = pickle.dumps(data)
    assert len(packed) < images.nbytes / 2
    assert torch.equal(pickle.loads(packed).__getitems__([5, 3])["image"], data.__getitems__([5, 3])["image"])
    plain = PixelDataset(np.array(images), TARGET, GROUPS)
    again = pickle.loads(pickle.dumps(plain))
    assert torch.equal(again.__getitems__([5])["image"], data.__getitems__([5])["image"])


def test_two_ranks_see_each_row_once(images):
    data = PixelDataset(images, TARGET, {})
    seen = [
        batch["row"].tolist()
        for rank in (0, 1)
        for batch in make_loader(data, ShuffledBatches(N, 8, seed=3, rank=rank, world_size=2))
    ]
    assert sorted(sum(seen, [])) == list(range(N))


def test_rows_of_a_large_map_are_asked_for_page_by_page(images, monkeypatch):
    """The same pixels, and stretches of whole pages that hold each row, to the last byte of the file and not beyond."""
    monkeypatch.setattr(batches, "ASKED_FOR", 0)
    for rows in ([0, 7, 8, 49], [49], [3, 3, 40], list(range(N)), []):
        asked = PixelDataset(images, TARGET, {}).__getitems__(rows)["image"]
        assert np.array_equal(asked.permute(0, 2, 3, 1).numpy(), images[rows])
    size, header = 3000, 128
    for rows in ([0], [4], [0, 1, 2, 40], [5, 5, 6, 90]):
        runs = batches.page_runs(np.array(rows), size, header)
        assert all(start % mmap.PAGESIZE == 0 for start, _ in runs)
        held = [any(s <= header + row * size and header + (row + 1) * size <= s + n for s, n in runs) for row in rows]
        assert all(held) and runs[-1][0] + runs[-1][1] == header + (rows[-1] + 1) * size


def test_a_spawned_process_opens_the_map_by_its_name(images):
    data = PixelDataset(images, TARGET, {})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rows = pool.apply(data.__getitems__, ([4, 2],))["row"].tolist()
    assert rows == [4, 2]


def test_errors_are_named(images):
    with pytest.raises(DataError, match="target has 3 values for 50 images"):
        PixelDataset(images, TARGET[:3], {})
    with pytest.raises(DataError, match="group sex"):
        PixelDataset(images, TARGET, {"sex": [0]})
    with pytest.raises(DataError, match="rows from 0 to 50"):
        PixelDataset(images, TARGET, {}, rows=[0, 50])
    with pytest.raises(DataError, match="float32"):
        PixelDataset(images.astype(np.float32), TARGET, {})


def test_class_weights_are_made_of_the_rows_that_balanced_batches_show() -> None:
    target = np.array([1] * 110 + [0] * 1000)
    group = EncodedAttribute("tone", ("light", "dark"), np.array([0] * 100 + [1] * 10 + [0] * 500 + [1] * 500), {})
    table = SimpleNamespace(frame=pd.DataFrame({"target": target}), class_names=("benign", "malignant"))
    data = ImageData(table, None, {"tone": group})  # type: ignore[arg-type]
    rows = np.arange(1110)
    assert data.seen_per_class(rows, "group_target", group) == (1000, 110)
    assert data.seen_per_class(rows, "balanced", group) == (1000, 20)
    zero, one = data.seen_per_class(rows, "equal_cells", group)
    assert abs(zero - one) <= 4
