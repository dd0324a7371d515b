"""Losses: by hand, against scikit-style means, at the edges, and against the published code."""

import math

import pytest
import torch
import torch.nn.functional as F

from biasmask.methods.losses import Inputs, anchor_loss, bias_loss, class_balanced_bce, soft_rates

CRITERIA = {"spd": "demographic_parity", "eopp": "equal_opportunity", "eodds": "equalized_odds"}

# Six scores, three groups: TPR .9 .5 -, FPR .3 .1 .6, PPR .6 .3 .6.
SCORES = torch.tensor([0.9, 0.3, 0.5, 0.1, 0.6, 0.6])
TARGET = torch.tensor([1, 0, 1, 0, 0, 0])
GROUP = torch.tensor([0, 0, 1, 1, 2, 2])

# One case of the oracles, so that the comparison stands where their files are absent: logits taken as they are.
# fmt: off
PUBLISHED_VALUES = [
    -1.357855, -1.018029, 0.414702, -0.862808, -0.468473, 0.276193, -0.557938, -0.469872, 0.385968, 0.380864,
    -1.069666, -0.990988, 1.320409, -0.694386, 0.727191, 0.218547, 0.637549, 0.068583, -0.885548, 0.356743,
    -0.165677, 1.210427, 2.204857, 0.491459, -0.037666, -1.778904, -0.494554, -1.714332, 0.276665, -2.149791,
    0.834075, 0.078504, -1.678914, -0.473438, 0.008965, 1.336434, -0.813508, -1.592758, 0.135125, -1.772274,
    -1.692869, -0.105307, 0.499809, -0.258652, 0.877949, -0.095456, 0.946688, 1.036866, -1.268879, -2.183985,
    0.506295, -1.024755, -0.605024, 0.630248, 1.051776, 1.172045, 1.552258, 0.494864, 0.249543, -0.531327,
    -0.639569, -0.448207, -0.244104, 0.128142,
]
# fmt: on
PUBLISHED_TARGET = "0010000100010100111100001010100001000000110101101010000010000001"
PUBLISHED_GROUP = "0000100100110000100000001011000000000011101010100110001001000011"
PUBLISHED_LOSS = {"spd": 0.2072297, "eopp": 0.0703045, "eodds": 0.1932471, "wbce": 0.3444578}


def _bias(scores=SCORES, target=TARGET, group=GROUP, n_groups=3, **choices):
    return bias_loss(scores, target, group, n_groups, inputs="scores", **choices)


def test_soft_rates_by_hand():
    rates = soft_rates(SCORES, TARGET, GROUP, 3)
    assert rates.tpr[:2].tolist() == pytest.approx([0.9, 0.5])
    assert math.isnan(rates.tpr[2])
    assert rates.fpr.tolist() == pytest.approx([0.3, 0.1, 0.6])
    assert rates.ppr.tolist() == pytest.approx([0.6, 0.3, 0.6])


def test_soft_rates_ignore_missing_groups_and_name_an_absent_one():
    rates = soft_rates(SCORES, TARGET, torch.tensor([0, 0, -1, -1, 3, 3]), 4)
    assert rates.ppr.isnan().tolist() == [False, True, True, False]
    assert rates.ppr[[0, 3]].tolist() == pytest.approx([0.6, 0.6])


def test_soft_rates_gradient_of_an_empty_cell_leaves_the_others_whole():
    scores = SCORES.clone().requires_grad_()
    rates = soft_rates(scores, TARGET, GROUP, 3)
    (gradient,) = torch.autograd.grad(rates.tpr.nansum() + rates.fpr[0], scores)
    assert gradient.tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"criterion": "demographic_parity"}, 0.3),
        ({"criterion": "demographic_parity", "aggregate": "mean_pairwise"}, 0.2),
        ({"criterion": "equal_opportunity"}, 0.4),
        ({"criterion": "equalized_odds"}, (0.4 + 0.5) / 2),
        ({"criterion": "equalized_odds", "reduce": "max"}, 0.5),
        ({"criterion": "equalized_odds", "aggregate": "mean_pairwise"}, (0.4 + (0.2 + 0.3 + 0.5) / 3) / 2),
        # pairs: (0,1): (.4 + .2) / 2 = .3; (0,2): only FPR, .3; (1,2): only FPR, .5
        ({"criterion": "equalized_odds", "reduce": "signed"}, 0.5),
        ({"criterion": "equalized_odds", "reduce": "signed", "aggregate": "mean_pairwise"}, 1.1 / 3),
    ],
)
def test_bias_loss_of_three_groups_by_hand(choices, expected):
    loss = _bias(**choices)
    assert loss.defined
    assert float(loss.value) == pytest.approx(expected, abs=1e-6)


def test_signed_gaps_cancel_and_ours_do_not():
    scores, target, group = torch.tensor([0.9, 0.1, 0.5, 0.5]), torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 1, 1])
    signed = bias_loss(scores, target, group, 2, "equalized_odds", reduce="signed", inputs="scores")
    assert float(signed.value) == pytest.approx(0, abs=1e-7)
    assert float(bias_loss(scores, target, group, 2, "equalized_odds", inputs="scores").value) == pytest.approx(0.4)


def test_inputs_logits_are_squashed_and_raw_are_not():
    logits, target, group = torch.tensor([2.0, -1.0]), torch.tensor([1, 1]), torch.tensor([0, 1])
    scores = torch.sigmoid(logits)
    assert float(bias_loss(logits, target, group, 2).value) == pytest.approx(float(scores[0] - scores[1]))
    assert float(bias_loss(logits, target, group, 2, inputs="raw").value) == pytest.approx(3)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        bias_loss(logits, target, group, 2, inputs="scores")


@pytest.mark.parametrize("criterion", CRITERIA.values())
@pytest.mark.parametrize("aggregate", ["max_min", "mean_pairwise"])
@pytest.mark.parametrize("reduce", ["mean", "max", "signed"])
def test_bias_loss_does_not_depend_on_the_order_of_rows_or_groups(criterion, aggregate, reduce):
    torch.manual_seed(0)
    logits, target, group = torch.randn(60), torch.randint(2, (60,)), torch.randint(-1, 3, (60,))
    choices = {"criterion": criterion, "aggregate": aggregate, "reduce": reduce}
    value = bias_loss(logits, target, group, 3, **choices).value
    rows = torch.randperm(60)
    renamed = torch.tensor([2, 0, 1, -1])[group]
    assert torch.allclose(bias_loss(logits[rows], target[rows], group[rows], 3, **choices).value, value, atol=1e-6)
    assert torch.allclose(bias_loss(logits, target, renamed, 3, **choices).value, value, atol=1e-6)
    assert torch.allclose(bias_loss(logits, target, group, 5, **choices).value, value, atol=1e-6), "absent groups"


@pytest.mark.parametrize(
    ("target", "group", "criterion"),
    [
        ([1, 0, 1], [0, 0, 0], "demographic_parity"),
        ([1, 0, 1], [-1, -1, -1], "equalized_odds"),
        ([0, 0, 0], [0, 1, 1], "equal_opportunity"),
        ([1, 0, 0], [0, 1, 1], "equalized_odds"),
    ],
)
def test_undefined_bias_is_a_connected_zero_and_says_so(target, group, criterion):
    logits = torch.tensor([0.3, torch.inf, -1.0], requires_grad=True)
    loss = bias_loss(logits, torch.tensor(target), torch.tensor(group), 2, criterion)
    assert not loss.defined
    assert loss.value.item() == 0
    loss.value.backward()
    assert logits.grad.tolist() == [0, 0, 0]


def test_one_class_leaves_the_other_gap():
    target = torch.zeros(6, dtype=torch.int64)
    assert float(_bias(target=target, criterion="equalized_odds").value) == pytest.approx(0.3)


def test_empty_batch_is_undefined():
    nothing = torch.zeros(0)
    assert not bias_loss(nothing, nothing, nothing.long(), 2).defined


def test_equal_groups_have_no_gradient():
    logits = torch.tensor([0.5, 0.5], requires_grad=True)
    bias_loss(logits, torch.tensor([1, 1]), torch.tensor([0, 1]), 2).value.backward()
    assert logits.grad.tolist() == [0, 0]


def test_nan_logits_show_and_do_not_pass_as_an_empty_cell():
    logits = torch.tensor([torch.nan, 0.0, 1.0])
    loss = bias_loss(logits, torch.tensor([1, 1, 1]), torch.tensor([0, 1, 1]), 2)
    assert loss.defined
    assert loss.value.isnan()


def test_half_precision_is_widened():
    loss = bias_loss(SCORES.bfloat16(), TARGET, GROUP, 3)
    assert loss.value.dtype == torch.float32
    assert class_balanced_bce(SCORES.bfloat16(), TARGET, "none").dtype == torch.float32


@pytest.mark.parametrize("criterion", CRITERIA.values())
def test_bias_loss_gradient_is_that_of_finite_differences(criterion):
    torch.manual_seed(1)
    logits = torch.randn(20, dtype=torch.float64, requires_grad=True)
    target, group = torch.randint(2, (20,)), torch.randint(3, (20,))
    assert torch.autograd.gradcheck(lambda z: bias_loss(z, target, group, 3, criterion).value, logits)


def test_class_balance_by_hand():
    logits, target = torch.tensor([0.4, -0.3, 1.2, 0.1]), torch.tensor([1, 0, 0, 0])
    each = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    weights = torch.tensor([0.75, 0.25, 0.25, 0.25])
    assert torch.allclose(class_balanced_bce(logits, target, "batch"), (weights * each).mean())
    assert torch.allclose(class_balanced_bce(logits, target, "dataset", 1, 3), (weights * each).mean())
    assert torch.allclose(class_balanced_bce(logits, target, "none"), each.mean())


def test_one_class_in_the_batch_is_lost_by_batch_balance_only():
    logits, target = torch.tensor([0.4, -0.3]), torch.tensor([1, 1])
    assert class_balanced_bce(logits, target, "batch") == 0
    assert class_balanced_bce(logits, target, "dataset", 10, 30) > 0


def test_anchor_is_zero_at_home_and_survives_saturation():
    base = torch.tensor([0.0, 50.0, -200.0])
    assert anchor_loss(base, base) == 0
    moved = (-base).requires_grad_()
    loss = anchor_loss(moved, base)
    assert loss.item() == pytest.approx((0 + 50 + 200) / 3)
    loss.backward()
    assert torch.allclose(moved.grad, (torch.sigmoid(-base) - torch.sigmoid(base)) / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_balanced_bce(torch.zeros(2), torch.tensor([0, 1])), "needs n_positive"),
        (lambda: class_balanced_bce(torch.zeros(2), torch.tensor([0, 1]), "dataset", 0, 5), "needs n_positive"),
        (lambda: class_balanced_bce(torch.zeros(2), torch.tensor([0, 1]), "other"), "class_balance is 'other'"),
        (lambda: class_balanced_bce(torch.zeros(0), torch.zeros(0), "none"), "empty batch"),
        (lambda: class_balanced_bce(torch.zeros(2, 1), torch.tensor([0, 1]), "none"), r"both must be \(N,\)"),
        (lambda: class_balanced_bce(torch.zeros(2), torch.tensor([0, 2]), "none"), "neither 0 nor 1"),
        (lambda: _bias(n_groups=1), "at least 2 groups"),
        (lambda: _bias(n_groups=2), "run from 0 to 2"),
        (lambda: _bias(group=GROUP[:3]), "group has shape"),
        (lambda: _bias(criterion="parity"), "criterion is 'parity'"),
        (lambda: _bias(aggregate="sum"), "aggregate is 'sum'"),
        (lambda: _bias(reduce="sum"), "reduce is 'sum'"),
        (lambda: anchor_loss(torch.zeros(2), torch.zeros(3)), "must have one shape"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("loss", PUBLISHED_LOSS)
def test_one_published_case_from_literals(loss):
    values, target, group = torch.tensor(PUBLISHED_VALUES), PUBLISHED_TARGET, PUBLISHED_GROUP
    target, group = torch.tensor([int(t) for t in target]), torch.tensor([int(g) for g in group])
    if loss == "wbce":
        value = class_balanced_bce(values, target, "batch")
    else:
        value = bias_loss(values, target, group, 2, CRITERIA[loss], reduce="signed", inputs="raw").value
    assert value.item() == pytest.approx(PUBLISHED_LOSS[loss], abs=1e-6)


@pytest.mark.parametrize("case", ["random64", "random64_f64", "logits64"])
@pytest.mark.parametrize("loss", ["spd", "eopp", "eodds", "wbce"])
def test_value_and_gradient_of_the_published_code(oracles, case, loss):
    data = oracles("bmft_losses.pt")["cases"][case]
    values = data["y_pred"].clone().requires_grad_()
    if loss == "wbce":
        value = class_balanced_bce(values, data["y"], "batch")
    else:
        value = bias_loss(values, data["y"], data["attr"], 2, CRITERIA[loss], reduce="signed", inputs="raw").value
    value.backward()
    tolerance = 1e-6
    assert value.item() == pytest.approx(float(data["value"][loss]), abs=tolerance)
    assert torch.allclose(values.grad, data["grad"][loss].to(values.dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", ["no_group0", "no_group1", "no_positives", "no_negatives", "missing_cell_a1y1"])
def test_task_loss_of_the_published_code_on_lopsided_batches(oracles, case):
    data = oracles("bmft_losses.pt")["cases"][case]
    values = data["y_pred"].clone().requires_grad_()
    value = class_balanced_bce(values, data["y"], "batch")
    value.backward()
    assert value.item() == pytest.approx(float(data["value"]["wbce"]), abs=1e-6)
    assert torch.allclose(values.grad, data["grad"]["wbce"], rtol=0, atol=1e-6)


def test_empty_cells_are_left_out_where_the_published_code_counts_them_as_zero(oracles):
    cases = oracles("bmft_losses.pt")["cases"]

    def ours(case, loss):
        data = cases[case]
        return bias_loss(data["y_pred"], data["y"], data["attr"], 2, CRITERIA[loss], reduce="signed", inputs="raw")

    for loss in CRITERIA:
        assert not ours("no_group0", loss).defined
        assert not ours("no_group1", loss).defined
    assert not ours("no_positives", "eopp").defined
    assert not ours("missing_cell_a1y1", "eopp").defined
    # One gap is left: it counts in full, where the published mean has halved it.
    assert ours("no_positives", "eodds").value.item() == pytest.approx(
        2 * cases["no_positives"]["value"]["eodds"].item()
    )
    assert ours("no_negatives", "eodds").value.item() == pytest.approx(
        2 * cases["no_negatives"]["value"]["eodds"].item()
    )
    left = cases["missing_cell_a1y1"]["value"]["fpr_diff"].item()
    assert ours("missing_cell_a1y1", "eodds").value.item() == pytest.approx(left)
    # Where all cells of a loss are there, both agree.
    for case in ("no_positives", "no_negatives", "missing_cell_a1y1"):
        assert ours(case, "spd").value.item() == pytest.approx(cases[case]["value"]["spd"].item(), abs=1e-6)


def test_a_low_temperature_turns_soft_rates_into_rates_of_decisions() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(400, generator=generator) * 3
    target, group = torch.randint(2, (400,), generator=generator), torch.randint(2, (400,), generator=generator)
    logits += group  # group 1 gets higher scores
    decided = bias_loss((logits > 0).float(), target, group, 2, "equalized_odds", inputs="scores").value
    soft, sharp = (bias_loss(logits, target, group, 2, "equalized_odds", temperature=t).value for t in (1.0, 1e-3))
    assert abs(sharp - decided) < 1e-3 < 0.01 < abs(soft - decided), (sharp, soft, decided)
    two = torch.stack([torch.zeros(400), logits], 1)
    assert bias_loss(two, target, group, 2, temperature=0.3).value == pytest.approx(
        float(bias_loss(logits, target, group, 2, temperature=0.3).value), abs=1e-6
    )


@pytest.mark.parametrize(("temperature", "inputs"), [(0.0, "logits"), (-1.0, "logits"), (0.5, "raw")])
def test_a_temperature_that_makes_no_sense_is_refused(temperature: float, inputs: Inputs) -> None:
    with pytest.raises(ValueError, match="temperature is"):
        bias_loss(torch.zeros(2), torch.tensor([0, 1]), torch.tensor([0, 1]), 2, inputs=inputs, temperature=temperature)
