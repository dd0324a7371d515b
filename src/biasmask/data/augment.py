"""Augmentation of a whole batch on its tensor: geometry on uint8, brightness and contrast on floats.

Legend: B batch, C channels, H height, W width. Every random number comes from the `generator`, on its own device, so
that a CPU generator gives the same augmentation on a GPU. Results of the gather are in channels_last memory order,
which is that of the pixel store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from biasmask.errors import ConfigError


@dataclass(frozen=True)
class Augment:
    """uint8 batch in, normalized and augmented float batch out.

    Args:
        horizontal_flip, vertical_flip, transpose: probability of each, per sample, in [0, 1].
        shift: largest shift in pixels along each axis; the border is filled by reflection.
        brightness: largest change of brightness, as a share of the full range of the pixels, 0 or more.
        contrast: largest relative change of contrast about the picture's own mean, 0 or more.

    >>> images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    >>> Augment(shift=2)(images, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).unique().tolist()
    [-1.0]
    """

    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    transpose: float = 0.0
    shift: int = 0
    brightness: float = 0.0
    contrast: float = 0.0

    def __call__(
        self,
        images: Tensor,
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        moved = geometric(
            images, self.horizontal_flip, self.vertical_flip, self.transpose, self.shift, generator=generator
        )
        if self.brightness == 0 and self.contrast == 0:
            return normalize(moved, mean, std, dtype)
        unit = _jitter(moved.float().div_(255), self.brightness, self.contrast, generator)
        return _standardize(unit, mean, std).to(dtype)


def geometric(
    images: Tensor,
    horizontal_flip: float = 0.0,
    vertical_flip: float = 0.0,
    transpose: float = 0.0,
    shift: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Flip, transpose and shift each sample by its own draw, in one gather of pixels; pixel values stay as they are.

    Args:
        images: (B, C, H, W) of any dtype.
        horizontal_flip, vertical_flip, transpose: probabilities in [0, 1]; transpose needs H = W.
        shift: largest shift in pixels, 0 <= shift < min(H, W); what comes in is the reflection, the edge not repeated.
        generator: source of the draws.

    Returns:
        (B, C, H, W) of the same dtype, channels_last; an empty batch as it is.

    Raises:
        ConfigError: transpose of pictures that are not square, or a shift as large as the picture.

    >>> picture = torch.arange(4).reshape(1, 1, 2, 2)
    >>> geometric(picture, horizontal_flip=1.0).flatten().tolist()
    [1, 0, 3, 2]
    """
    batch, channels, height, width = images.shape
    if transpose > 0 and height != width:
        raise ConfigError(f"augment.transpose={transpose} needs square pictures, these are {height} x {width}")
    if not 0 <= shift < min(height, width):
        raise ConfigError(f"augment.shift={shift} must be at least 0 and below the side of {min(height, width)} pixels")
    if batch == 0:
        return images
    draws = _uniform((5, batch, 1), images.device, generator)
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    y = _reflect(rows + _shifts(draws[3], shift), height)
    x = _reflect(columns + _shifts(draws[4], shift), width)
    y = torch.where(draws[0] < vertical_flip, height - 1 - y, y)
    x = torch.where(draws[1] < horizontal_flip, width - 1 - x, x)
    # Where the pixel of output (y, x) comes from; a transposed sample swaps the strides of its two axes.
    swap = draws[2] < transpose
    step_y, step_x = torch.where(swap, 1, width), torch.where(swap, width, 1)
    start = torch.arange(batch, device=images.device)[:, None] * (height * width)
    index = (y * step_y + start)[:, :, None] + (x * step_x)[:, None, :]
    pixels = images.permute(0, 2, 3, 1).reshape(batch * height * width, channels)
    moved = pixels.index_select(0, index.reshape(-1))
    return moved.view(batch, height, width, channels).permute(0, 3, 1, 2)


def jitter(
    images: Tensor, brightness: float = 0.0, contrast: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """(x - m) * c + m + b per sample: m its mean over all pixels, b within +-brightness, c within 1 +- contrast.

    Args:
        images: float (B, C, H, W), usually in [0, 1]; the result is not clipped.
        brightness: largest |b|, in the unit of the pixels. contrast: largest |c - 1|.
        generator: source of the draws.

    Returns:
        float (B, C, H, W), same dtype and memory order.

    >>> jitter(torch.full((1, 3, 2, 2), 0.5), contrast=0.3).unique().tolist()
    [0.5]
    """
    return _jitter(images.clone(), brightness, contrast, generator)


def normalize(
    images: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """(x / 255 - mean) / std per channel.

    Args:
        images: uint8 (B, C, H, W).
        mean, std: C values on the scale of [0, 1], from the backbone's own config.
        dtype: of the result; the sum is done in float32.

    Returns:
        `dtype` (B, C, H, W), in the memory order of `images`.

    >>> normalize(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), [0.5], [0.5]).item()
    1.0
    """
    return _standardize(images.to(torch.float32).div_(255), mean, std).to(dtype)


def _jitter(images: Tensor, brightness: float, contrast: float, generator: torch.Generator | None) -> Tensor:
    """`jitter` in place, on a tensor that this file has just made."""
    draws = _uniform((2, images.shape[0], 1), images.device, generator).to(images.dtype) * 2 - 1
    scale = 1 + contrast * draws[1]
    # One flat line a sample: broadcast over three channels that lie side by side costs several times as much.
    last = images.is_contiguous(memory_format=torch.channels_last)
    flat = (images.permute(0, 2, 3, 1) if last else images).flatten(1)
    offset = flat.mean(dim=1, keepdim=True) * (1 - scale) + brightness * draws[0]
    changed = flat.mul_(scale).add_(offset)
    if last:
        batch, channels, height, width = images.shape
        return changed.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return changed.view(images.shape)


def _standardize(unit: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """In place on a tensor that this file has just made."""
    centre, scale = unit.new_tensor(list(mean)), unit.new_tensor(list(std))
    if unit.is_contiguous(memory_format=torch.channels_last):
        lines = unit.permute(0, 2, 3, 1).flatten(2)  # (B, H, W * C), for the reason given in _jitter
        lines.sub_(centre.repeat(unit.shape[3])).div_(scale.repeat(unit.shape[3]))
        return unit
    return unit.sub_(centre.view(1, -1, 1, 1)).div_(scale.view(1, -1, 1, 1))


def _uniform(shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    drawn_on = generator.device if generator is not None else torch.device("cpu")
    return torch.rand(shape, generator=generator, device=drawn_on).to(device)


def _shifts(draw: Tensor, shift: int) -> Tensor:
    return (draw * (2 * shift + 1)).long().clamp_(max=2 * shift) - shift


def _reflect(position: Tensor, length: int) -> Tensor:
    """Positions outside [0, length) mirrored at the first and the last pixel."""
    position = position.abs()
    return torch.where(position >= length, 2 * (length - 1) - position, position)
