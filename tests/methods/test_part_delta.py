"""Parts of a delta: labels follow the slices, all parts together are the delta, random choices have the asked size."""

import pytest
import torch

from biasmask.methods.part_delta import changed_names, choose, label_entries, random_choice
from biasmask.methods.weight_delta import apply_delta, different_bits, weight_delta


def models() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    base = {
        "w": torch.randn(6, 4, generator=generator),
        "conv": torch.randn(3, 2, 3, 3, generator=generator),
        "steps": torch.tensor(3),
    }
    edited = {name: tensor.clone() for name, tensor in base.items()}
    edited["w"][::2] += 1
    edited["conv"][:, 1] = 0
    edited["steps"] += 4
    return base, edited


def test_parts_together_give_the_edited_model_bit_for_bit() -> None:
    base, edited = models()
    delta = weight_delta(base, edited)
    total = sum(len(delta[f"{name}:index"]) for name in changed_names(delta))
    labels = torch.randint(0, 3, (total,), generator=torch.Generator().manual_seed(1))
    made = base
    for part in range(3):
        made = apply_delta(made, choose(delta, labels == part))
    assert all(not different_bits(made[name], tensor).any() for name, tensor in edited.items())
    assert apply_delta(base, choose(delta, torch.zeros(total, dtype=torch.bool))).keys() == base.keys()


def test_labels_are_those_of_the_slices() -> None:
    shape = (4, 6, 2)
    index = torch.arange(48)
    want = torch.zeros(shape, dtype=torch.long)
    want[:, 2:5], want[:, 5:] = 1, 2
    slices = [(1, 0, 2), (1, 2, 5), (1, 5, 6)]
    assert label_entries(index, shape, slices, [0, 1, 2]).reshape(shape).equal(want)
    assert label_entries(torch.tensor([0]), (), [(0, 0, 1)], [5]).tolist() == [5]


def test_wrong_slices_and_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        label_entries(torch.arange(4), (4,), [(0, 0, 3), (0, 2, 4)], [0, 1])
    with pytest.raises(ValueError, match="don't cover"):
        label_entries(torch.arange(4), (4,), [(0, 0, 3)], [0])
    with pytest.raises(ValueError, match="delta of 2"):
        choose({"w:index": torch.tensor([0, 1]), "w:bits": torch.tensor([1, 1])}, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="can't be drawn"):
        random_choice(3, 4, seed=0)


def test_random_choices_are_uniform_and_repeat_under_a_seed() -> None:
    drawn = torch.stack([random_choice(20, 5, seed) for seed in range(2000)]).float()
    assert bool((drawn.sum(1) == 5).all()) and bool(((drawn.mean(0) - 0.25).abs() < 0.05).all())
    assert random_choice(20, 5, 3).equal(random_choice(20, 5, 3)) and not random_choice(20, 5, 3).equal(random_choice(20, 5, 4))
