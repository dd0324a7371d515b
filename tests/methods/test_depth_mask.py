"""Masks by depth."""

import pytest
import torch

from biasmask.methods.depth_mask import depth_mask

NET = {"stem.weight": (10,), "a.weight": (4, 5), "a.bias": (4,), "b.norm.weight": (6,), "b.norm.bias": (6,), "token": (4,)}
LIKE = {name: torch.zeros(shape) for name, shape in NET.items()}  # layers of 10, 24, 12 and 4 parameters, 50 in all


def chosen(share: float, end: str) -> list[str]:
    mask = depth_mask(LIKE, share, end)
    assert all(part.dtype == torch.bool and part.shape == LIKE[name].shape for name, part in mask.items())
    assert all(bool(part.all()) or not bool(part.any()) for part in mask.values()), "a layer is never divided"
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name, part in mask.items() if part.any()))


@pytest.mark.parametrize(
    ("share", "end", "layers"),
    [
        (0.01, "last", ["token"]),
        (0.31, "last", ["token"]),
        (0.32, "last", ["b.norm", "token"]),
        (0.8, "last", ["a", "b.norm", "token"]),
        (1.0, "last", ["stem", "a", "b.norm", "token"]),
        (0.1, "first", ["stem"]),
        (0.7, "first", ["stem", "a"]),
    ],
)
def test_whole_layers_up_to_the_share(share: float, end: str, layers: list[str]) -> None:
    assert chosen(share, end) == layers


@pytest.mark.parametrize(
    ("like", "share", "end", "words"),
    [(LIKE, 0.0, "last", "share is 0"), (LIKE, 0.5, "middle", "'middle'"), ({}, 0.5, "last", "no parameters")],
)
def test_what_it_refuses(like: dict[str, torch.Tensor], share: float, end: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        depth_mask(like, share, end)
