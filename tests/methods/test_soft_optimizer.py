"""Soft edits: scaled updates, and every bit stays where the mask is 0."""

import pytest
import torch
from torch.nn import Parameter

from biasmask.methods.soft_optimizer import SoftLocality

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
}


def trained(optimizer: str, mask: torch.Tensor, start: torch.Tensor, steps: int = 20) -> tuple[torch.Tensor, SoftLocality]:
    weight = Parameter(start.clone())
    locality = SoftLocality({"w": weight}, {"w": mask})
    solver = OPTIMIZERS[optimizer]([weight])
    locality.attach(solver)
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        solver.zero_grad()
        (weight * torch.randn(weight.shape, generator=generator)).sum().backward()
        solver.step()
    return weight.detach(), locality


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_entries_of_mask_0_keep_every_bit(optimizer: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start, mask = torch.randn(6, 5, generator=generator), torch.rand(6, 5, generator=generator)
    mask[::2] = 0
    start[0, :2] = torch.tensor([-0.0, torch.inf])
    found, locality = trained(optimizer, mask, start)
    assert found[::2].view(torch.int32).equal(start[::2].view(torch.int32))
    assert bool((found[1::2] != start[1::2]).all()) and locality.report().changed_outside == 0


def test_sgd_is_a_scaled_gradient_with_the_decay_inside() -> None:
    generator = torch.Generator().manual_seed(1)
    start, mask = torch.randn(8, generator=generator).double(), torch.rand(8, generator=generator).double()
    found, _ = trained("sgd", mask, start)
    theta, velocity, generator = start.clone(), torch.zeros(8).double(), torch.Generator().manual_seed(3)
    for step in range(20):
        gradient = mask * (torch.randn(8, generator=generator).double() + 0.1 * theta)
        velocity = gradient if step == 0 else 0.9 * velocity + gradient
        theta = theta - 0.05 * velocity
    torch.testing.assert_close(found, theta)


def test_a_full_mask_is_the_optimizer_itself() -> None:
    start = torch.linspace(-1, 1, 7)
    found, _ = trained("adamw", torch.ones(7), start)
    weight = Parameter(start.clone())
    solver, generator = OPTIMIZERS["adamw"]([weight]), torch.Generator().manual_seed(3)
    for _ in range(20):
        solver.zero_grad()
        (weight * torch.randn(7, generator=generator)).sum().backward()
        solver.step()
    assert found.equal(weight.detach())


@pytest.mark.parametrize("mask", [torch.tensor([True, False]), torch.tensor([0.5, 1.5]), torch.tensor([0.5, torch.nan])])
def test_a_mask_that_is_not_soft_is_refused(mask: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="soft mask of w"):
        SoftLocality({"w": Parameter(torch.zeros(2))}, {"w": mask})
