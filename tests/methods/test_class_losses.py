"""Losses of more than two classes and of several attributes: by hand, against the binary ones, at the edges."""

import pytest
import torch
import torch.nn.functional as F

from biasmask.methods.attribute_mean import mean_bias_loss
from biasmask.methods.losses import anchor_loss, bias_loss, class_balanced_bce
from biasmask.methods.task_loss import class_balanced_ce, task_loss

CRITERIA = ("demographic_parity", "equal_opportunity", "equalized_odds")


@pytest.fixture
def rows() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "logits": torch.randn(60, 3, generator=generator, dtype=torch.float64),
        "target": torch.randint(3, (60,), generator=generator),
        "group": torch.randint(-1, 3, (60,), generator=generator),
        "sex": torch.randint(2, (60,), generator=generator),
    }


@pytest.mark.parametrize("balance", ["dataset", "batch", "none"])
@pytest.mark.parametrize("targets", [[0, 1, 1, 0, 0, 1, 0, 0], [1] * 8])
def test_two_classes_have_the_binary_loss(balance: str, targets: list[int]) -> None:
    torch.manual_seed(1)
    pair, target = torch.randn(8, 2, dtype=torch.float64, requires_grad=True), torch.tensor(targets)
    two = class_balanced_ce(pair, target, balance, (30, 10))  # type: ignore[arg-type]
    one = class_balanced_bce(pair[:, 1] - pair[:, 0], target, balance, n_positive=10, n_negative=30)  # type: ignore[arg-type]
    torch.testing.assert_close(two, one)
    gradients = [torch.autograd.grad(loss, pair, retain_graph=True)[0] for loss in (two, one)]
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(task_loss((pair[:, 1] - pair[:, 0]), target, balance, (30, 10)), one)  # type: ignore[arg-type]


def test_class_weights_by_hand(rows: dict[str, torch.Tensor]) -> None:
    each = F.cross_entropy(rows["logits"], rows["target"], reduction="none")
    weights = torch.tensor([1 / 2, 1 / 4, 0], dtype=torch.float64) * 3 / 2  # the third class has no row in the split
    assert float((weights * torch.tensor([2, 4, 0])).sum() / 6) == 0.5  # their mean over the rows
    found = class_balanced_ce(rows["logits"], rows["target"], "dataset", (2, 4, 0))
    torch.testing.assert_close(found, (weights[rows["target"]] * each).mean())
    counts = torch.bincount(rows["target"]).double()
    shares = len(rows["target"]) / (2 * len(counts) * counts)
    torch.testing.assert_close(class_balanced_ce(rows["logits"], rows["target"], "batch"), (shares[rows["target"]] * each).mean())
    torch.testing.assert_close(task_loss(rows["logits"], rows["target"], "none"), each.mean())


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("classes", ["mean", "max"])
def test_bias_loss_is_that_of_each_class_against_the_rest(rows: dict[str, torch.Tensor], criterion: str, classes: str) -> None:
    scores = rows["logits"].softmax(1)
    parts = [
        bias_loss(scores[:, c], (rows["target"] == c).long(), rows["group"], 3, criterion, inputs="scores").value  # type: ignore[arg-type]
        for c in range(3)
    ]
    expected = torch.stack(parts).max() if classes == "max" else torch.stack(parts).mean()
    found = bias_loss(rows["logits"], rows["target"], rows["group"], 3, criterion, classes=classes)  # type: ignore[arg-type]
    assert found.defined
    torch.testing.assert_close(found.value, expected)
    of_scores = bias_loss(scores, rows["target"], rows["group"], 3, criterion, inputs="scores", classes=classes)  # type: ignore[arg-type]
    torch.testing.assert_close(of_scores.value, expected)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("inputs", ["logits", "scores", "raw"])
def test_two_columns_have_the_binary_bias_loss(rows: dict[str, torch.Tensor], criterion: str, inputs: str) -> None:
    target, pair = rows["target"] % 2, rows["logits"][:, :2]
    values = (pair.softmax(1), pair.softmax(1)[:, 1]) if inputs == "scores" else (pair, pair[:, 1] - pair[:, 0])
    two, one = (bias_loss(v, target, rows["group"], 3, criterion, inputs=inputs).value for v in values)  # type: ignore[arg-type]
    torch.testing.assert_close(two, one)


def test_a_class_without_rows_in_two_groups_is_left_out(rows: dict[str, torch.Tensor]) -> None:
    target = torch.where((rows["target"] == 2) & (rows["group"] != 0), 1, rows["target"])  # class 2 in one group alone
    scores = rows["logits"].softmax(1)
    parts = [
        bias_loss(scores[:, c], (target == c).long(), rows["group"], 3, "equal_opportunity", inputs="scores") for c in range(3)
    ]
    assert [part.defined for part in parts] == [True, True, False]
    found = bias_loss(rows["logits"], target, rows["group"], 3, "equal_opportunity")
    torch.testing.assert_close(found.value, (parts[0].value + parts[1].value) / 2)


def test_nothing_to_compare_is_a_connected_zero(rows: dict[str, torch.Tensor]) -> None:
    logits = rows["logits"].requires_grad_()
    found = bias_loss(logits, rows["target"], torch.zeros(60, dtype=torch.int64), 2)
    assert not found.defined and found.value == 0
    found.value.backward()
    assert not logits.grad.any()  # type: ignore[union-attr]


def test_gradients_are_those_of_finite_differences(rows: dict[str, torch.Tensor]) -> None:
    logits, base = rows["logits"][:12].requires_grad_(), rows["logits"][12:24]
    target, group = rows["target"][:12], rows["group"][:12]
    assert torch.autograd.gradcheck(lambda z: bias_loss(z, target, group, 3, "equalized_odds").value, logits)
    assert torch.autograd.gradcheck(lambda z: class_balanced_ce(z, target, "dataset", (5, 2, 9)), logits)
    assert torch.autograd.gradcheck(lambda z: anchor_loss(z, base), logits)


def test_anchor_of_a_softmax(rows: dict[str, torch.Tensor]) -> None:
    z, base = rows["logits"][:, :2], rows["logits"][:, 1:]
    torch.testing.assert_close(anchor_loss(z, base), anchor_loss(z[:, 1] - z[:, 0], base[:, 1] - base[:, 0]))
    assert anchor_loss(rows["logits"], rows["logits"]).abs() < 1e-15
    assert anchor_loss(rows["logits"] + 3, rows["logits"]).abs() < 1e-12, "a softmax doesn't see a shift of all logits"


def test_several_attributes_have_the_mean_of_their_losses(rows: dict[str, torch.Tensor]) -> None:
    groups, logits = {"site": rows["group"], "sex": rows["sex"]}, rows["logits"]
    one = [bias_loss(logits, rows["target"], groups[name], n).value for name, n in (("site", 3), ("sex", 2))]
    found = mean_bias_loss(logits, rows["target"], groups, {"site": 3, "sex": 2})
    torch.testing.assert_close(found.value, (one[0] + one[1]) / 2)
    alone = mean_bias_loss(logits, rows["target"], groups, {"sex": 2})
    assert torch.equal(alone.value, one[1])
    groups["sex"] = torch.zeros(60, dtype=torch.int64)  # one group: undefined, left out
    assert torch.equal(mean_bias_loss(logits, rows["target"], groups, {"site": 3, "sex": 2}).value, one[0])
    assert not mean_bias_loss(logits, rows["target"], groups, {"sex": 2}).defined


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, y: class_balanced_ce(z[:, 0], y), r"must be \(N, C\)"),
        (lambda z, y: class_balanced_ce(z, y), "needs the rows of each of 3 classes"),
        (lambda z, y: class_balanced_ce(z, y, "dataset", (9, 0, 0)), "two of them above 0"),
        (lambda z, y: class_balanced_ce(z, y + 1, "none"), "expected 0 to 2"),
        (lambda z, y: class_balanced_ce(z[:0], y[:0], "none"), "empty batch"),
        (lambda z, y: class_balanced_ce(z, y, "other"), "class_balance is 'other'"),
        (lambda z, y: bias_loss(z, y + 1, y, 3), "no class index from 0 to 2"),
        (lambda z, y: bias_loss(z, y, y, 3, classes="sum"), "classes is 'sum'"),
        (lambda z, y: bias_loss(z, y[:5], y, 3), r"must be \(N, C\)"),
        (lambda z, y: bias_loss(z, y, y, 3, inputs="scores"), r"outside \[0, 1\]"),
        (lambda z, y: anchor_loss(z, z[:, :2]), "must have one shape"),
        (lambda z, y: mean_bias_loss(z, y, {}, {}), "at least one sensitive attribute"),
    ],
)
def test_bad_input_is_named(call, message: str, rows: dict[str, torch.Tensor]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(rows["logits"], rows["target"])
