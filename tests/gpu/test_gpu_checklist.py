"""What must hold on a GPU: run `python -m pytest -n0 tests/gpu` on a machine that has one.

The same bodies run on the CPU everywhere, so that the checks themselves are checked; what needs CUDA is skipped with its reason.
Figures of two devices never agree to the bit: sums are added up in another order. What is bit-identical is what may not change.
"""

import os

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from biasmask.methods.importance import ImportanceSum
from biasmask.methods.masked_optimizer import EditLocality, freeze_norm_statistics
from biasmask.methods.weight_mask import hard_mask, random_mask
from tests.conftest import FinishedRun, Runner

HAS_CUDA = torch.cuda.is_available()
NO_CUDA = "no CUDA device here"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not HAS_CUDA, reason=NO_CUDA))]
needs_cuda = pytest.mark.skipif(not HAS_CUDA, reason=NO_CUDA)
TRAINER = {"cpu": "trainer=cpu", "cuda": "trainer=gpu"}
if HAS_CUDA:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic=true asks of cuBLAS, before it starts

on_each_device = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True)
def _full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in TF32, cuDNN's default, differ from a CPU's in the third digit."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def small_net(device: str) -> nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=1).to(device)


def batch(step: int, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)  # of the CPU: the same numbers on each device
    images = torch.randn(8, 3, 32, 32, generator=generator)
    return images.to(device), torch.randint(2, (8,), generator=generator).float().to(device)


def task_loss(net: nn.Module, step: int, device: str) -> Tensor:
    images, target = batch(step, device)
    return nn.functional.binary_cross_entropy_with_logits(net(images).flatten().float(), target)


def bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(torch.int32)


def train_masked(net: nn.Module, optimizer: str, precision: str, device: str, steps: int = 3) -> dict[str, Tensor]:
    """Train under a mask of a third of the weights; the mask, after checking that what lies outside kept its bits."""
    parameters = dict(net.named_parameters())
    mask = random_mask(parameters, 0.3, seed=0)
    start = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    locality = EditLocality(parameters, mask)
    moving = [parameter for parameter in parameters.values() if parameter.requires_grad]
    fused = {"fused": True} if device == "cuda" else {}
    made = {
        "sgd": lambda: SGD(moving, lr=0.05, momentum=0.9, weight_decay=0.1, **fused),
        "adamw": lambda: AdamW(moving, lr=1e-3, weight_decay=0.1, **fused),
    }[optimizer]()
    locality.attach(made)
    net.train()
    freeze_norm_statistics(net)
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
    for step in range(steps):
        made.zero_grad()
        with torch.autocast(device, kinds.get(precision, torch.float32), enabled=precision in kinds):
            loss = task_loss(net, step, device)
        scaler.scale(loss).backward()
        scaler.step(made)
        scaler.update()
    for name, parameter in parameters.items():
        kept = ~mask[name].to(parameter.device)
        assert torch.equal(bits(parameter)[kept], bits(start[name])[kept]), name
    report = locality.report()
    assert report.changed_outside == 0 and report.edited > 0
    return mask


# --- the maths on a device ---


@on_each_device
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", pytest.param("fp16", marks=needs_cuda)])
def test_weights_outside_the_mask_keep_their_bits(device: str, optimizer: str, precision: str) -> None:
    train_masked(small_net(device), optimizer, precision, device)


@on_each_device
def test_channels_last_gives_the_same_logits_and_keeps_the_bits(device: str) -> None:
    plain, last = small_net(device).eval(), small_net(device).eval().to(memory_format=torch.channels_last)
    images, _ = batch(0, device)
    other_order = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(last(other_order), plain(images), rtol=1e-4, atol=1e-5)
    train_masked(last, "sgd", "fp32", device)


@on_each_device
def test_a_compiled_net_gives_the_same_logits_and_keeps_the_bits(device: str) -> None:
    """On the CPU without a C++ compiler's minutes: the graph is captured and run as it is."""
    torch.compiler.reset()
    net = small_net(device)
    compiled = torch.compile(net, backend="inductor" if device == "cuda" else "eager")
    images, _ = batch(0, device)
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), net(images), rtol=1e-4, atol=1e-5)
    mask = random_mask(dict(net.named_parameters()), 0.3, seed=0)
    start = {name: bits(parameter).clone() for name, parameter in net.named_parameters()}
    locality = EditLocality(dict(net.named_parameters()), mask)
    optimizer = SGD([p for p in net.parameters() if p.requires_grad], lr=0.05, momentum=0.9, weight_decay=0.1)
    locality.attach(optimizer)
    for step in range(2):
        optimizer.zero_grad()
        task_loss(compiled, step, device).backward()
        optimizer.step()
    for name, parameter in net.named_parameters():
        kept = ~mask[name].to(device)
        assert torch.equal(bits(parameter)[kept], start[name][kept]), name
    assert locality.report().edited > 0


def importances(device: str) -> dict[str, Tensor]:
    net = small_net(device).eval()
    total = ImportanceSum()
    for step in range(4):
        total.add({"task": task_loss(net, step, device)}, dict(net.named_parameters()))
    return {name: tensor.cpu() for name, tensor in total.mean()["task"].items()}


@on_each_device
def test_importances_and_their_mask_are_those_of_the_cpu(device: str) -> None:
    there, here = importances(device), importances("cpu")
    for name, tensor in here.items():
        torch.testing.assert_close(there[name], tensor, rtol=1e-2, atol=1e-4 * float(tensor.max()))
    one, other = hard_mask(there, 0.1), hard_mask(here, 0.1)
    both = sum(int((one[name] & other[name]).sum()) for name in one)
    either = sum(int((one[name] | other[name]).sum()) for name in one)
    assert both / either > 0.99, "places near the threshold may change sides, and no others"


@needs_cuda
def test_memory_of_an_edit_is_bounded_and_given_back() -> None:
    """Weights and gradients, the start, its bits and those of the mask, a byte an entry: below six times the weights."""
    train_masked(small_net("cuda"), "sgd", "fp32", "cuda", steps=1)  # the libraries' own workspaces stay
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    net = small_net("cuda")
    weights = sum(p.numel() * p.element_size() for p in net.parameters())
    train_masked(net, "sgd", "fp32", "cuda", steps=1)
    held = torch.cuda.memory_allocated() - before
    assert held < 6 * weights
    del net
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() - before < weights


# --- whole runs on a device ---


def mask_of(run: FinishedRun) -> dict[str, Tensor]:
    return load_file(run.folder / "mask.safetensors")


def overlap(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    both = sum(int((one[name] & other[name]).sum()) for name in one)
    return both / sum(int((one[name] | other[name]).sum()) for name in one)


@on_each_device
def test_a_run_is_deterministic_and_finds_the_mask_of_the_cpu(device: str, runner: Runner, tmp_path) -> None:
    words = (TRAINER[device], "trainer.deterministic=true", "debias=impair_only", "debias.edit_fraction=0.1")
    first, second = (runner.rendered(*words, store=tmp_path / f"store{n}") for n in (1, 2))
    assert first.figures == second.figures
    one, two = (torch.load(run.folder / "debiased_timm.pt", weights_only=True) for run in (first, second))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert first.stage("impair")["changed_outside"] == 0 < first.stage("impair")["edited"]
    if device != "cpu":
        base = f"model.ckpt_path={first.folder / 'checkpoints' / 'base.ckpt'}"
        cpu = runner.rendered("trainer=cpu", *words[2:], base, store=tmp_path / "cpu")
        assert overlap(mask_of(cpu), mask_of(first)) > 0.98


@on_each_device
def test_a_run_in_mixed_precision_and_channels_last(device: str, runner: Runner, tmp_path) -> None:
    precision = "bf16-mixed" if device == "cpu" or torch.cuda.is_bf16_supported() else "16-mixed"
    run = runner.rendered(
        TRAINER[device], f"trainer.precision={precision}", "model.channels_last=true", store=tmp_path / "store"
    )  # fmt: skip
    for stage in ("impair", "repair"):
        assert run.stage(stage)["changed_outside"] == 0
    assert run.figures["models"]["debiased"]["test/auroc"]["value"] is not None


@on_each_device
def test_a_text_run_prunes_and_keeps_the_bits_of_what_stays(device: str, runner: Runner, tmp_path) -> None:
    # all scores move at one speed, so that some block of a random encoder falls
    adamw = "debias.prune.optimizer={_target_: torch.optim.AdamW, lr: 0.5}"
    words = ("debias=text/block_pruning", adamw)
    run = runner.text(tmp_path, TRAINER[device], *words, store=tmp_path / "store")
    before = load_file(tmp_path / "bert" / "model.safetensors")
    after = load_file(run.folder / "debiased_hf" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weight in after.items():
        same = bits(weight) == bits(before[name])
        assert bool((same | (weight == 0)).all()), f"{name}: what was not cut has its old bits"
    assert sum(int((weight == 0).sum() - (before[name] == 0).sum()) for name, weight in after.items()) > 0


# On CPUs: tests/pipeline/test_two_processes.py.
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices here")
def test_two_gpus_find_the_mask_of_one(runner: Runner, tmp_path) -> None:
    words = ("debias=impair_only", "debias.edit_fraction=0.1")
    one = runner.rendered("trainer=gpu", *words, store=tmp_path / "one")
    base = f"model.ckpt_path={one.folder / 'checkpoints' / 'base.ckpt'}"
    two = runner.rendered("trainer=ddp", *words, base, store=tmp_path / "two")
    assert overlap(mask_of(one), mask_of(two)) > 0.98
    assert two.stage("impair")["changed_outside"] == 0 < two.stage("impair")["edited"]
