"""Importances: by hand, one forward for all, undefined batches, sums of parts, per sample, and the published code."""

import pytest
import torch
from torch import nn

from biasmask.methods.importance import ImportanceSum, importances
from biasmask.methods.importance_score import importance_ratio
from biasmask.methods.losses import BiasLoss, bias_loss, class_balanced_bce
from biasmask.methods.weight_mask import reference_mask


def _net() -> tuple[nn.Module, dict[str, nn.Parameter]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    return net, dict(net.named_parameters())


def _batches(n_batches=3, size=8):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.randn(size, 4, generator=generator),
            "target": torch.randint(2, (size,), generator=generator),
            "group": {"sex": torch.randint(2, (size,), generator=generator)},
        }
        for _ in range(n_batches)
    ]


LOSSES = {
    "task": lambda z, batch: class_balanced_bce(z, batch["target"], "dataset", 10, 14),
    "bias": lambda z, batch: bias_loss(z, batch["target"], batch["group"]["sex"], 2),
}


def _forward(net):
    return lambda batch: net(batch["image"]).flatten()


@pytest.mark.parametrize(("kind", "term"), [("squared_gradient", lambda g: g**2), ("abs_gradient", torch.abs)])
def test_mean_over_batches_of_two_losses_from_one_forward(kind, term):
    net, parameters = _net()
    found = importances(_forward(net), _batches(), parameters, LOSSES, kind=kind)
    for name, loss in LOSSES.items():
        expected = {key: torch.zeros_like(parameter) for key, parameter in parameters.items()}
        for batch in _batches():
            value = loss(_forward(net)(batch), batch)
            value = value.value if isinstance(value, BiasLoss) else value
            net.zero_grad()
            value.backward()
            for key, parameter in parameters.items():
                expected[key] += term(parameter.grad) / 3
        for key in parameters:
            assert torch.allclose(found[name][key], expected[key], rtol=1e-5, atol=1e-12)
            assert found[name][key].dtype == torch.float32


def test_undefined_batches_are_skipped_and_counted():
    net, parameters = _net()
    total, reference = ImportanceSum(), ImportanceSum()
    for index, batch in enumerate(_batches()):
        if index == 1:
            batch["group"]["sex"].zero_()
        logits = _forward(net)(batch)
        total.add({name: loss(logits, batch) for name, loss in LOSSES.items()}, parameters)
        if index != 1:
            reference.add({"bias": LOSSES["bias"](_forward(net)(batch), batch)}, parameters)
    assert total.batches == {"task": 3, "bias": 2}
    assert total.undefined == {"task": 0, "bias": 1}
    assert torch.equal(total.mean()["bias"]["0.weight"], reference.mean()["bias"]["0.weight"])


def test_per_sample_is_the_empirical_fisher_and_forgets_the_batch_size():
    net, parameters = _net()
    batches = _batches()
    found = importances(_forward(net), batches, parameters, LOSSES, per_sample=["task"])
    joined = {"image": torch.cat([b["image"] for b in batches]), "target": torch.cat([b["target"] for b in batches])}
    expected = torch.zeros(3, 4)
    for row in range(24):
        one = {key: value[row : row + 1] for key, value in joined.items()}
        (gradient,) = torch.autograd.grad(LOSSES["task"](_forward(net)(one), one), parameters["0.weight"])
        expected += gradient**2 / 24
    assert torch.allclose(found["task"]["0.weight"], expected, rtol=1e-5)
    whole = importances(_forward(net), [joined], parameters, {"task": LOSSES["task"]}, per_sample=["task"])
    assert torch.allclose(whole["task"]["0.weight"], found["task"]["0.weight"])
    batchwise = importances(_forward(net), batches, parameters, LOSSES)
    assert not torch.allclose(batchwise["task"]["0.weight"], expected, rtol=0.1)
    assert torch.equal(batchwise["bias"]["0.weight"], found["bias"]["0.weight"])


def test_parts_merge_to_the_whole_also_when_one_saw_nothing():
    net, parameters = _net()
    whole, parts = ImportanceSum(), [ImportanceSum() for _ in range(3)]
    for part in parts:
        part.reserve(LOSSES, parameters)
    for index, batch in enumerate(_batches(4)):
        for total in (whole, parts[index % 2]):
            logits = _forward(net)(batch)
            total.add({name: loss(logits, batch) for name, loss in LOSSES.items()}, parameters)
    # What an all-reduce does: every process lists the same tensors, summed in place.
    for tensors in zip(*(part.tensors() for part in parts), strict=True):
        tensors[0].copy_(sum(tensors))
    merged = ImportanceSum()
    merged.merge(parts[0])
    assert merged.batches == whole.batches == {"task": 4, "bias": 4}
    for loss in LOSSES:
        for name in parameters:
            assert torch.equal(merged.mean()[loss][name], whole.mean()[loss][name])
    merged.merge(whole)
    assert torch.allclose(merged.mean()["task"]["0.bias"], whole.mean()["task"]["0.bias"])


def test_the_model_is_left_alone():
    net, parameters = _net()
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    importances(_forward(net), _batches(), parameters, LOSSES)
    assert all(parameter.grad is None for parameter in parameters.values())
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters.items())


def test_unreached_parameter_has_importance_zero():
    net, parameters = _net()
    lonely = nn.Parameter(torch.ones(2))
    found = importances(_forward(net), _batches(), {**parameters, "lonely": lonely}, LOSSES)
    assert found["task"]["lonely"].tolist() == [0, 0]


def test_tiny_gradients_do_not_vanish_before_the_mean():
    weight = nn.Parameter(torch.tensor([1.0]))
    total = ImportanceSum()
    total.add({"task": (1e-30 * weight).sum()}, {"w": weight})
    assert total.mean(torch.float64)["task"]["w"].item() == pytest.approx(1e-60, rel=1e-5, abs=0)


def test_broken_importances_are_named():
    weight, other = nn.Parameter(torch.tensor([0.0])), nn.Parameter(torch.tensor([1.0]))
    total = ImportanceSum()
    # sqrt at 0: a finite loss with an infinite gradient.
    total.add({"bias": weight.sqrt().sum() + other.sum()}, {"stem.weight": weight, "other": other})
    with pytest.raises(ValueError, match="'bias' is not finite in stem.weight:"):
        total.mean()


def _add(loss, parameters):
    ImportanceSum().add({"task": loss}, parameters)


W = nn.Parameter(torch.tensor([1.0, 2.0]))
FROZEN = nn.Parameter(torch.tensor([1.0]), requires_grad=False)


def _undefined_throughout():
    total = ImportanceSum()
    total.add({"bias": None}, {"w": W})
    total.mean()


def _changed_parameters():
    total = ImportanceSum()
    total.add({"task": W.sum()}, {"w": W})
    total.add({"task": W.sum()}, {"v": W})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ImportanceSum("fisher"), "importance kind is 'fisher'"),
        (lambda: ImportanceSum().mean(), "no batch was added"),
        (_undefined_throughout, "undefined in all 1 batches"),
        (_changed_parameters, "changed between batches"),
        (lambda: _add(W, {"w": W}), "one number"),
        (lambda: _add(torch.tensor(1.0), {"w": W}), "one number with a gradient"),
        (lambda: _add((W * torch.nan).sum(), {"w": W}), "loss 'task' is nan"),
        (lambda: _add(W.sum(), {"v": FROZEN}), "v have requires_grad False"),
        (lambda: _add(W.sum(), {}), "at least one parameter"),
        (lambda: ImportanceSum().merge(ImportanceSum("abs_gradient")), "kind abs_gradient"),
        (lambda: importances(lambda x: x, [], {"w": W}, LOSSES, per_sample=["other"]), "per_sample names other"),
        (lambda: importances(lambda x: x, [], {"w": W}, LOSSES), "no batch was added"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("file", "tolerance"), [("bmft_small.pt", 3e-5), ("bmft_small_f64.pt", 1e-9)])
@pytest.mark.parametrize("kind", ["squared_gradient", "abs_gradient"])
def test_importances_of_the_published_code(oracles, small_net, file, tolerance, kind):
    data = oracles(file)
    net = small_net(data["state_dict"])
    parameters = dict(net.named_parameters())
    assert list(parameters) == data["names"]
    assert torch.allclose(net(data["x"]), data["out"].flatten(), rtol=0, atol=1e-6)
    criteria = {"eodds": "equalized_odds", "spd": "demographic_parity", "eopp": "equal_opportunity"}
    total = ImportanceSum(kind)
    size = data["batch_size"]
    for start in range(0, len(data["x"]), size):
        x, y, attr = (data[key][start : start + size] for key in ("x", "y", "attr"))
        scores = net(x)
        losses = {"loss": class_balanced_bce(scores, y, "batch")}
        for short, criterion in criteria.items():
            found = bias_loss(scores, y, attr, 2, criterion, reduce="signed", inputs="raw")
            losses[f"bias/{short}"] = found
            if start == 0:
                expected = data["grad_first_batch"][short]
                gradients = torch.autograd.grad(found.value, list(parameters.values()), retain_graph=True)
                for name, gradient in zip(parameters, gradients, strict=True):
                    bound = tolerance * float(expected[name].abs().max())
                    assert torch.allclose(gradient, expected[name], rtol=0, atol=bound), name
        losses["loss_bias/eodds"] = losses["loss"] + 0.1 * losses["bias/eodds"].value
        total.add(losses, parameters)
    suffix = "fisher" if kind == "squared_gradient" else "grad"
    found = total.mean(data["x"].dtype)
    for loss, of_loss in found.items():
        # The published task loss is computed in float32 even where the net is in float64.
        allowed = max(tolerance, 5e-7) if loss.startswith("loss") else tolerance
        for name, value in of_loss.items():
            expected = data["imp"][f"{loss}/{suffix}"][name]
            bound = allowed * float(expected.abs().max())
            assert torch.allclose(value, expected, rtol=0, atol=bound), (loss, name)
    if kind == "squared_gradient":
        backbone = [name for name in parameters if name.startswith("net.")]
        for short in criteria:
            both = [{name: found[loss][name] for name in backbone} for loss in (f"bias/{short}", "loss")]
            mask = reference_mask(importance_ratio(*both), 50)
            assert all(torch.equal(mask[name], data["mask"][f"{short}/50"][name]) for name in backbone)
