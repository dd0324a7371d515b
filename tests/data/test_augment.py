"""Augmentation on the batch tensor: pixels only move, each sample by its own draw; the arithmetic is the textbook's."""

import time

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from biasmask.data.augment import Augment, geometric, jitter, normalize
from biasmask.errors import ConfigError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def seeded(number=0):
    return torch.Generator().manual_seed(number)


@pytest.fixture
def images():
    return torch.randint(0, 256, (16, 3, 9, 9), dtype=torch.uint8, generator=seeded(1))


def test_each_move_is_the_plain_one(images):
    assert torch.equal(geometric(images, horizontal_flip=1), images.flip(3))
    assert torch.equal(geometric(images, vertical_flip=1), images.flip(2))
    assert torch.equal(geometric(images, transpose=1), images.transpose(2, 3))
    assert torch.equal(geometric(images), images)


def test_shift_is_a_crop_of_the_reflected_picture(images):
    got = geometric(images, shift=3, generator=seeded())
    padded = torch.nn.functional.pad(images.float(), (3, 3, 3, 3), mode="reflect").to(torch.uint8)
    offsets = set()
    for sample, wide in zip(got, padded, strict=True):
        places = [(y, x) for y in range(7) for x in range(7) if torch.equal(sample, wide[:, y : y + 9, x : x + 9])]
        assert len(places) == 1
        offsets.add(places[0])
    assert len(offsets) > 8


def test_every_sample_draws_for_itself_and_all_moves_are_equally_frequent():
    picture = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2).expand(8000, 1, 2, 2)
    got = geometric(picture, 0.5, 0.5, 0.5, generator=seeded()).flatten(1).numpy()
    kinds, counts = np.unique(got, axis=0, return_counts=True)
    assert len(kinds) == 8 and chisquare(counts).pvalue > 0.001


def test_probability_is_respected():
    picture = torch.arange(2).reshape(1, 1, 1, 2).expand(20000, 1, 1, 2)
    flipped = geometric(picture, horizontal_flip=0.2, generator=seeded())[:, 0, 0, 0].float().mean().item()
    assert flipped == pytest.approx(0.2, abs=0.01)


def test_memory_order_of_the_source_does_not_matter(images):
    last = images.to(memory_format=torch.channels_last)
    for data in (images, last, images.float()):
        got = geometric(data, 0.5, 0.5, 0.5, 2, generator=seeded())
        assert got.dtype == data.dtype and got.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(got.to(torch.uint8), geometric(images, 0.5, 0.5, 0.5, 2, generator=seeded()))
        assert torch.allclose(normalize(images, MEAN, STD), normalize(last, MEAN, STD), atol=1e-6)


def test_generator_decides_all(images):
    augment = Augment(shift=2, brightness=0.2, contrast=0.2)
    one, same, other = (augment(images, MEAN, STD, generator=seeded(number)) for number in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_source_is_left_as_it_was(images):
    copy = images.clone()
    Augment(shift=2, brightness=0.2, contrast=0.2)(images, MEAN, STD)
    floats = images.float()
    jitter(floats, 0.3, 0.3)
    assert torch.equal(images, copy) and torch.equal(floats, copy.float())


def test_normalize_is_the_textbook(images):
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    plain = (images.float() / 255 - mean) / std
    for data in (images, images.to(memory_format=torch.channels_last)):
        got = normalize(data, MEAN, STD)
        assert torch.allclose(got, plain, atol=1e-6) and got.stride() == data.stride()
        assert normalize(data, MEAN, STD, torch.bfloat16).dtype == torch.bfloat16


def test_augment_with_nothing_to_do_is_normalize(images):
    plain = normalize(images, MEAN, STD)
    assert torch.allclose(Augment(0, 0, 0)(images, MEAN, STD), plain, atol=1e-6)
    tiny = Augment(0, 0, 0, brightness=1e-12)(images, MEAN, STD)
    assert torch.allclose(tiny, plain, atol=1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_jitter_is_the_formula_with_one_draw_a_sample(images, last):
    unit = images.float() / 255
    if last:
        unit = unit.to(memory_format=torch.channels_last)
    got = jitter(unit, 0.2, 0.3, generator=seeded())
    mean = unit.mean((1, 2, 3))
    brightness = got.mean((1, 2, 3)) - mean
    contrast = got.std((1, 2, 3)) / unit.std((1, 2, 3))
    again = (unit - mean.view(-1, 1, 1, 1)) * contrast.view(-1, 1, 1, 1) + (mean + brightness).view(-1, 1, 1, 1)
    assert torch.allclose(got, again, atol=1e-5) and got.stride() == unit.stride()
    assert brightness.abs().max() <= 0.2 and (contrast - 1).abs().max() <= 0.3 + 1e-5
    assert brightness.unique().numel() == contrast.unique().numel() == 16


def test_empty_batch_single_pixel_and_errors(images):
    assert geometric(images[:0], 0.5, 0.5, 0.5, 2).shape == (0, 3, 9, 9)
    assert Augment(shift=0)(images[:, :, :1, :1], MEAN, STD).shape == (16, 3, 1, 1)
    with pytest.raises(ConfigError, match="square"):
        geometric(images[:, :, :5], transpose=0.5)
    with pytest.raises(ConfigError, match=r"shift=9"):
        geometric(images, shift=9)
    assert geometric(images[:, :, :5], 0.5, 0.5, 0.0, 2).shape == (16, 3, 5, 9)


def test_fast_enough():
    """A tenth of what one free thread does, so that a busy machine does not fail the test."""
    batch = torch.zeros(64, 96, 96, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    augment = Augment(shift=4, brightness=0.1, contrast=0.1)
    augment(batch, MEAN, STD)
    start = time.perf_counter()
    for _ in range(5):
        augment(batch, MEAN, STD)
    assert 5 * 64 / (time.perf_counter() - start) > 1000
