"""Edit locality: bit-identical outside the mask, whatever the optimizer, the clipping, the precision or a resume do."""

import io
import os
import tempfile
from collections.abc import Callable

import pytest
import timm
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, Optimizer

from biasmask.methods.masked_optimizer import EditLocality, EditReport, freeze_norm_statistics
from biasmask.methods.weight_mask import ones_mask, random_mask

NETS = {
    "batch_norm": lambda: timm.create_model("test_resnet", num_classes=1),
    "vit": lambda: timm.create_model("test_vit", num_classes=1, img_size=32),
}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": lambda p: Adam(p, lr=1e-3, weight_decay=0.1),
    "adamw": lambda p: AdamW(p, lr=1e-3, weight_decay=0.1),
    "amsgrad": lambda p: AdamW(p, lr=1e-3, weight_decay=0.1, amsgrad=True),
}


def _net(kind: str = "batch_norm", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return NETS[kind]()


def _mask(net: nn.Module, fraction: float = 0.3) -> dict[str, Tensor]:
    """A random mask in which the first tensor is full and the second empty."""
    mask = random_mask(dict(net.named_parameters()), fraction, seed=0)
    first, second = list(mask)[:2]
    mask[first] = torch.ones_like(mask[first])
    mask[second] = torch.zeros_like(mask[second])
    return mask


def _batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(6, 3, 32, 32, generator=generator), torch.randint(2, (6,), generator=generator).float()


def _loss(net: nn.Module, step: int) -> Tensor:
    images, target = _batch(step)
    return nn.functional.binary_cross_entropy_with_logits(net(images).flatten().float(), target)


def _train(net: nn.Module, optimizer: Optimizer, steps: range, clip: float | None = None) -> None:
    net.train()
    freeze_norm_statistics(net)
    for step in steps:
        optimizer.zero_grad()
        _loss(net, step).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()


def _state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def _same_bits(a: Tensor, b: Tensor) -> Tensor:
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return a.view(integer) == b.view(integer)


def _assert_local(net: nn.Module, start: dict[str, Tensor], mask: dict[str, Tensor]) -> None:
    changed = 0
    for name, now in net.state_dict().items():
        same = _same_bits(now, start[name])
        outside = ~mask[name] if name in mask else torch.ones_like(same)
        assert bool(same[outside].all()), f"{name} changed outside the mask"
        changed += int((~same).sum())
    assert changed > 0, "nothing was trained"


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twenty_steps_leave_the_rest_bit_identical(kind, optimizer):
    net = _net(kind)
    start, mask = _state(net), _mask(net)
    locality = EditLocality(dict(net.named_parameters()), mask)
    stepper = OPTIMIZERS[optimizer](net.parameters())
    locality.attach(stepper)
    _train(net, stepper, range(20))
    _assert_local(net, start, mask)
    report = locality.report()
    assert report.changed_outside == 0
    assert report.selected == sum(int(part.sum()) for part in mask.values())
    assert report.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert 0 < report.edited <= report.selected
    assert report.largest_change > 0


@pytest.mark.parametrize("kind", NETS)
def test_without_the_guard_the_same_training_moves_the_rest(kind):
    """The tests above would pass on a training that moves nothing: this one shows what they guard against."""
    net = _net(kind)
    start, mask = _state(net), _mask(net)
    stepper = OPTIMIZERS["sgd"](net.parameters())
    for step in range(3):
        stepper.zero_grad()
        _loss(net, step).backward()
        for name, parameter in net.named_parameters():
            parameter.grad *= mask[name]
        stepper.step()
    with pytest.raises(AssertionError, match="changed outside the mask"):
        _assert_local(net, start, mask)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_momentum_buffer_filled_before_does_not_leak(optimizer):
    net = _net()
    stepper = OPTIMIZERS[optimizer](net.parameters())
    _train(net, stepper, range(3))
    start, mask = _state(net), _mask(net)
    locality = EditLocality(dict(net.named_parameters()), mask)
    locality.attach(stepper)
    _train(net, stepper, range(3, 8))
    _assert_local(net, start, mask)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resume_in_the_middle_ends_on_the_same_bits(kind, optimizer):
    def run(net, steps, checkpoint=None, start=None):
        if checkpoint is not None:
            net.load_state_dict(checkpoint["net"])
        locality = EditLocality(dict(net.named_parameters()), mask, start)
        stepper = OPTIMIZERS[optimizer](net.parameters())
        if checkpoint is not None:
            stepper.load_state_dict(checkpoint["optimizer"])
        locality.attach(stepper)
        _train(net, stepper, steps)
        return locality, {"net": net.state_dict(), "optimizer": stepper.state_dict()}

    mask = _mask(_net(kind))
    start = _state(_net(kind))
    whole = _net(kind)
    in_one_go, _ = run(whole, range(10))
    half = _net(kind)
    _, checkpoint = run(half, range(5))
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    resumed = _net(kind, seed=1)
    locality, _ = run(resumed, range(5, 10), torch.load(file, weights_only=True), start)
    _assert_local(resumed, start, mask)
    for name, value in resumed.state_dict().items():
        assert bool(_same_bits(value, whole.state_dict()[name]).all()), name
    assert locality.report() == in_one_go.report()


def test_loading_the_optimizer_state_keeps_the_hook():
    net = _net()
    start, mask = _state(net), _mask(net)
    locality = EditLocality(dict(net.named_parameters()), mask)
    stepper = OPTIMIZERS["sgd"](net.parameters())
    locality.attach(stepper)
    stepper.load_state_dict(stepper.state_dict())
    _train(net, stepper, range(3))
    _assert_local(net, start, mask)


@pytest.mark.parametrize("kind", NETS)
def test_clipping_sees_the_edited_entries_only(kind):
    net = _net(kind)
    start, mask = _state(net), _mask(net, 0.05)
    plain = _net(kind).train()
    freeze_norm_statistics(plain)
    _loss(plain, 0).backward()
    inside = torch.sqrt(sum((p.grad[mask[name]] ** 2).sum() for name, p in plain.named_parameters()))
    locality = EditLocality(dict(net.named_parameters()), mask)
    net.train()
    freeze_norm_statistics(net)
    _loss(net, 0).backward()
    assert torch.allclose(nn.utils.clip_grad_norm_(net.parameters(), 1e9), inside, rtol=1e-5)
    stepper = OPTIMIZERS["adamw"](net.parameters())
    locality.attach(stepper)
    _train(net, stepper, range(20), clip=0.01)
    _assert_local(net, start, mask)


@pytest.mark.parametrize("kind", NETS)
def test_bf16_autocast(kind):
    net = _net(kind)
    start, mask = _state(net), _mask(net)
    locality = EditLocality(dict(net.named_parameters()), mask)
    stepper = OPTIMIZERS["sgd"](net.parameters())
    locality.attach(stepper)
    with torch.autocast("cpu", torch.bfloat16):
        _train(net, stepper, range(20))
    _assert_local(net, start, mask)


def test_step_with_a_closure():
    net = _net("vit")
    start, mask = _state(net), _mask(net)
    locality = EditLocality(dict(net.named_parameters()), mask)
    stepper = OPTIMIZERS["adamw"](net.parameters())
    locality.attach(stepper)

    def closure():
        stepper.zero_grad()
        loss = _loss(net, 0)
        loss.backward()
        return loss

    for _ in range(3):
        stepper.step(closure)
    _assert_local(net, start, mask)


def _two(mask=(True, False)):
    weight = Parameter(torch.tensor([1.0, -0.0]))
    return weight, EditLocality({"w": weight}, {"w": torch.tensor(mask)})


def test_gradients_outside_are_zero_even_when_infinite_and_over_accumulation():
    weight, _ = _two()
    (weight * torch.tensor([1.0, torch.inf])).sum().backward()
    assert weight.grad.tolist() == [1, 0]
    (weight * torch.tensor([2.0, torch.nan])).sum().backward()
    assert weight.grad.tolist() == [3, 0]


def test_gradients_that_share_memory_do_not_mask_each_other():
    a, b = Parameter(torch.ones(2, 2)), Parameter(torch.ones(4))
    mask_a = torch.tensor([[True, True], [False, False]])
    EditLocality({"a": a, "b": b}, {"a": mask_a, "b": ~mask_a.flatten()})
    ((a.view(-1) + b.view(4)) * torch.arange(1.0, 5.0)).sum().backward()
    assert a.grad.flatten().tolist() == [1, 2, 0, 0]
    assert b.grad.tolist() == [0, 0, 3, 4]


def test_importances_are_not_masked():
    weight, _ = _two()
    (gradient,) = torch.autograd.grad((weight * 3).sum(), weight)
    assert gradient.tolist() == [3, 3]


def test_every_bit_counts_minus_zero_and_nan_too():
    weight = Parameter(torch.tensor([1.0, -0.0, torch.nan]))
    locality = EditLocality({"w": weight}, {"w": torch.tensor([True, False, False])})
    stepper = SGD([weight], lr=0.1, weight_decay=0.5)
    locality.attach(stepper)
    weight[0].sum().backward()
    stepper.step()
    assert locality.report() == EditReport(1, 1, 3, pytest.approx(0.15), 0)
    with torch.no_grad():
        weight[1] = 0.0
    assert locality.report().changed_outside == 1
    locality.restore()
    assert locality.report().changed_outside == 0
    assert torch.signbit(weight[1])


def test_full_masks_have_no_hook_and_empty_ones_freeze():
    full, empty = Parameter(torch.ones(2)), Parameter(torch.ones(2))
    empty.grad = torch.ones(2)
    locality = EditLocality(
        {"full": full, "empty": empty}, {"full": torch.ones(2).bool(), "empty": torch.zeros(2).bool()}
    )
    stepper = SGD([full, empty], lr=0.1, weight_decay=0.5)
    locality.attach(stepper)
    assert not full._post_accumulate_grad_hooks
    assert not empty.requires_grad
    full.sum().backward()
    stepper.step()
    assert empty.tolist() == [1, 1]
    assert locality.report() == EditReport(2, 2, 4, pytest.approx(0.15), 0)
    locality.detach()
    assert empty.requires_grad


def test_ones_mask_trains_like_no_mask():
    guarded, plain = _net(), _net()
    locality = EditLocality(dict(guarded.named_parameters()), ones_mask(dict(guarded.named_parameters())))
    for net in (guarded, plain):
        stepper = OPTIMIZERS["sgd"](net.parameters())
        if net is guarded:
            locality.attach(stepper)
        _train(net, stepper, range(3))
    for name, value in guarded.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name])


def test_edited_entries_take_the_same_steps_as_without_a_mask():
    """Adam treats each entry by itself: inside the mask, the first step is the unmasked one."""
    guarded, plain = _net(), _net()
    mask = _mask(guarded)
    locality = EditLocality(dict(guarded.named_parameters()), mask)
    for net in (guarded, plain):
        stepper = OPTIMIZERS["adamw"](net.parameters())
        if net is guarded:
            locality.attach(stepper)
        _train(net, stepper, range(1))
    for name, value in guarded.named_parameters():
        assert torch.equal(value[mask[name]], dict(plain.named_parameters())[name][mask[name]])


def test_detach_lets_everything_move_again():
    weight, locality = _two()
    stepper = SGD([weight], lr=0.1, weight_decay=0.5)
    locality.attach(stepper)
    locality.detach()
    weight.sum().backward()
    stepper.step()
    assert weight.tolist() == pytest.approx([0.85, -0.1])


@pytest.mark.parametrize("change", ["channels_last", "float64"])
def test_moved_module_stays_guarded(change):
    net = _net()
    mask = _mask(net)
    locality = EditLocality(dict(net.named_parameters()), mask)
    net.to(memory_format=torch.channels_last) if change == "channels_last" else net.double()
    start = _state(net)
    stepper = OPTIMIZERS["sgd"](net.parameters())
    locality.attach(stepper)
    for step in range(3):
        images, target = _batch(step)
        logits = net.eval()(images.to(next(net.parameters()).dtype)).flatten()
        stepper.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logits, target.to(logits)).backward()
        stepper.step()
    _assert_local(net, start, mask)
    assert locality.report().changed_outside == 0


@pytest.mark.parametrize("bucket_view", [False, True])
def test_under_distributed_data_parallel(bucket_view):
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group("gloo", init_method=f"file://{os.path.join(folder, 'store')}", rank=0, world_size=1)
        try:
            net = _net("vit")
            start, mask = _state(net), _mask(net)
            locality = EditLocality(dict(net.named_parameters()), mask)
            wrapped = DistributedDataParallel(net, gradient_as_bucket_view=bucket_view)
            stepper = OPTIMIZERS["sgd"](net.parameters())
            locality.attach(stepper)
            for step in range(3):
                stepper.zero_grad()
                _loss(wrapped, step).backward()
                for name, parameter in net.named_parameters():
                    assert parameter.grad is None or not bool(parameter.grad[~mask[name]].any()), name
                stepper.step()
            _assert_local(net, start, mask)
        finally:
            dist.destroy_process_group()


def _frozen_but_selected():
    weight = Parameter(torch.ones(2), requires_grad=False)
    EditLocality({"w": weight}, {"w": torch.tensor([True, False])})


def _foreign_start():
    weight = Parameter(torch.ones(2))
    EditLocality({"w": weight}, {"w": torch.tensor([True, False])}, start={"w": torch.tensor([5.0, 1.5])})


ONE = Parameter(torch.ones(2))
HALF = torch.tensor([True, False])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EditLocality({"w": ONE}, {"v": HALF}), "only one of parameters and mask"),
        (lambda: EditLocality({"w": ONE}, {"w": HALF.float()}), r"mask of w is torch.float32 \(2,\)"),
        (lambda: EditLocality({"w": ONE}, {"w": HALF[:1]}), r"expected torch.bool \(2,\)"),
        (lambda: EditLocality({"w": ONE}, {"w": HALF & ~HALF}), "mask is empty"),
        (lambda: EditLocality({"w": ONE, "v": ONE}, {"w": HALF, "v": HALF}), "under two names"),
        (lambda: EditLocality({"w": ONE}, {"w": HALF}, start={}), "start lacks w"),
        (lambda: EditLocality({"w": ONE}, {"w": HALF}, start={"w": torch.ones(3)}), "start of w has shape"),
        (lambda: EditLocality({"w": ONE}, {"w": HALF}).attach("sgd"), "needs a torch.optim.Optimizer, got str"),
        (_frozen_but_selected, "selects entries of w, which has requires_grad False"),
        (_foreign_start, "1 entries of w outside the mask differ from start"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_norm_statistics_stand_still():
    net = _net().train()
    names = freeze_norm_statistics(net)
    assert names == [name for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert names
    before = _state(net)
    _loss(net, 0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert freeze_norm_statistics(_net("vit")) == []
