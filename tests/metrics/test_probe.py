"""The probe and the cosine of what debiasing costs: against scikit-learn, pairing, choice of c, undefined cases."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from biasmask.metrics import probe
from biasmask.metrics.probe import ProbeResult, cosine_to_original, linear_probe_accuracy, probe_difference


def rows(seed: int, n: int = 200, dimensions: int = 6, signal: float = 1.0, classes: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    x = torch.randn(n, dimensions, generator=generator)
    x[:, 0] += signal * y
    return x * 10 + 3, y


def probed(signal: float = 1.0, **settings) -> ProbeResult:
    x, y = rows(0, signal=signal)
    return linear_probe_accuracy(x[:150], y[:150], x[150:], y[150:], **settings)


@pytest.mark.parametrize("classes", [2, 3])
def test_equals_the_pipeline_of_scikit_learn(classes: int) -> None:
    x, y = rows(1, classes=classes)
    found = linear_probe_accuracy(x[:150], y[:150], x[150:], y[150:], c=0.1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(x[:150].double().numpy(), y[:150].numpy())
    expected = model.predict(x[150:].double().numpy()) == y[150:].numpy()
    assert found.correct.tolist() == expected.tolist()
    assert found.accuracy.value == pytest.approx(expected.mean()) and found.accuracy.n == 50 and found.c == 0.1
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high and found.accuracy.reason is None


def test_the_unit_of_a_feature_is_of_no_account() -> None:
    x, y = rows(2)
    scaled = x * torch.tensor([1e3, 1.0, 1e-3, 1.0, 7.0, 1.0]) + 5
    first, second = (linear_probe_accuracy(z[:150], y[:150], z[150:], y[150:]) for z in (x, scaled))
    assert first.correct.tolist() == second.correct.tolist()


def test_a_constant_feature_changes_nothing() -> None:
    x, y = rows(3)
    wider = torch.cat([x, torch.full((200, 1), 1e4)], 1)
    wider[150:, 6] = 2e4
    first, second = (linear_probe_accuracy(z[:150], y[:150], z[150:], y[150:]) for z in (x, wider))
    assert first.correct.tolist() == second.correct.tolist()


def test_c_is_chosen_on_the_training_rows_alone() -> None:
    x, y = rows(4, signal=0.3, dimensions=60)
    chosen = linear_probe_accuracy(x[:150], y[:150], x[150:], y[150:], c=None)
    other = linear_probe_accuracy(x[:150], y[:150], -x[150:], 1 - y[150:], c=None)
    assert chosen.c == other.c and chosen.c in probe.CHOICES
    few = linear_probe_accuracy(x[:4], y[:4], x[4:], y[4:], c=None)
    assert few.c == probe.C


def test_the_difference_is_paired() -> None:
    good, bad = probed(3.0), probed(0.0)
    found = probe_difference(good, bad)
    assert found.value == pytest.approx(bad.accuracy.value - good.accuracy.value) and found.n == 50
    assert found.low <= found.value <= found.high < 0
    same = probe_difference(good, good)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert probed(3.0).accuracy == good.accuracy


def test_too_few_iterations_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_ITERATIONS", 1)
    assert probed(c=1000.0).accuracy.reason == "the probe had not converged after 1 iterations"


def test_undefined_has_a_reason() -> None:
    x, y = rows(5, n=20)
    broken = x.clone()
    broken[3, 1] = math.nan
    cases = {
        "1 of the 20 training embeddings are not finite": (broken, y, x, y),
        "1 of the 20 test embeddings are not finite": (x, y, broken, y),
        "the training rows are of one class": (x, y * 0, x, y),
        "no training rows": (x[:0], y[:0], x, y),
        "no test rows": (x, y, x[:0], y[:0]),
    }
    fine = linear_probe_accuracy(x, y, x, y)
    for reason, arguments in cases.items():
        found = linear_probe_accuracy(*arguments)
        assert math.isnan(found.accuracy.value) and found.accuracy.reason == reason and len(found.correct) == 0
        difference = probe_difference(fine, found)
        assert math.isnan(difference.value) and difference.reason == f"debiased: {reason}"


def test_wrong_arguments_are_refused() -> None:
    x, y = rows(6, n=20)
    with pytest.raises(ValueError, match="train rows and labels have shapes"):
        linear_probe_accuracy(x, y[:5], x, y)
    with pytest.raises(ValueError, match="train has 6 features, test has 4"):
        linear_probe_accuracy(x, y, x[:, :4], y)
    with pytest.raises(ValueError, match="c is 0"):
        linear_probe_accuracy(x, y, x, y, c=0)
    with pytest.raises(ValueError, match="base was tested on 20 rows, debiased on 10"):
        probe_difference(linear_probe_accuracy(x, y, x, y), linear_probe_accuracy(x, y, x[:10], y[:10]))
    with pytest.raises(ValueError, match="expected the same"):
        cosine_to_original(x, x[:3])


def test_cosine_by_torch_and_by_hand() -> None:
    a, b = rows(7)[0], rows(8)[0]
    found = cosine_to_original(a, b)
    assert found.value == pytest.approx(torch.nn.functional.cosine_similarity(a, b).mean().item(), abs=1e-6)
    assert found.low < found.value < found.high and found.n == 200
    itself = cosine_to_original(a, 5 * a)
    assert itself.value == pytest.approx(1.0, abs=1e-12) and itself.high <= 1.0
    assert cosine_to_original(a, -a).value == pytest.approx(-1.0)


def test_zero_vectors_are_left_out_and_told() -> None:
    a = rows(9, n=4)[0]
    b = a.clone()
    b[1] = 0
    found = cosine_to_original(a, b)
    assert found.value == pytest.approx(1.0) and found.n == 3 and found.reason == "1 of 4 items undefined and left out"
    assert math.isnan(cosine_to_original(a, a * 0).value)
    assert cosine_to_original(a[:0], a[:0]).reason == "no items"
