"""What a finished stage leaves in memory goes back before the next one, where the model is large."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch.nn import Parameter

from biasmask.methods.masked_optimizer import EditLocality
from biasmask.pipeline import memory


class Held:
    """One of two things that hold each other, as a Trainer and its module do."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize(("numel", "left"), [(10, True), (11, False)], ids=["small", "large"])
def test_circles_of_a_large_model_are_collected(numel: int, left: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGE", 11)
    gc.disable()
    try:
        gone = weakref.ref(Held())
        memory.tidy_up(SimpleNamespace(weights={"a": torch.zeros(5), "b": torch.zeros(numel - 5)}))
        assert (gone() is not None) == left
    finally:
        gc.enable()


def test_a_finished_edit_leaves_no_weights() -> None:
    """The hook on a parameter is kept by torch, outside what Python's collector sees."""
    parameter = Parameter(torch.ones(4))
    locality = EditLocality({"w": parameter}, {"w": torch.tensor([True, False, True, False])})
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    locality.attach(optimizer)
    parameter.sum().backward()
    optimizer.step()
    assert locality.report().changed_outside == 0
    gone = weakref.ref(parameter)
    del parameter, locality, optimizer
    gc.collect()
    assert gone() is None
