"""The threshold over a run: plateaus, the cubic between them, the penalty that follows it."""

import pytest

from biasmask.methods.threshold_schedule import Schedule, cubic_progress

# Rows of the published code's call, so that the comparison stands where the oracles are absent: (run, step, threshold).
PUBLISHED = [
    (10, 0, 0.013616240147),
    (10, 5, 0.063556851312),
    (10, 10, 0.089202030018),
    (10, 20, 0.1),
    (1000, 980, 0.099997387175),
]


@pytest.mark.parametrize(("total", "step", "threshold"), PUBLISHED)
def test_the_published_call(total, step, threshold):
    assert Schedule(reference=True).threshold(step, total) == pytest.approx(threshold, abs=1e-11)


def test_plateaus_and_a_rise_that_never_falls():
    schedule = Schedule(initial=0.02, final=0.2, warmup=0.2, cooldown=0.3)
    values = [schedule.threshold(step, 50) for step in range(61)]
    assert values[:11] == pytest.approx([0.02] * 11) and values[35:] == pytest.approx([0.2] * 26)
    assert all(a < b for a, b in zip(values[10:35], values[11:36], strict=True))
    assert schedule.threshold(22, 50) == pytest.approx(0.2 - 0.18 * (1 - 12 / 25) ** 3)


def test_without_plateaus_the_run_ends_at_the_final_threshold():
    schedule = Schedule()
    assert schedule.threshold(0, 100) == 0 and schedule.threshold(100, 100) == 0.1
    assert Schedule(reference=True).threshold(100, 100) < 0.1


def test_plateaus_that_fill_the_run():
    schedule = Schedule(warmup=0.5, cooldown=0.5)
    assert [schedule.threshold(step, 10) for step in (0, 5, 6, 10)] == [0, 0, 0.1, 0.1]
    assert cubic_progress(1, 1, 0, 0) == 1


def test_penalty():
    schedule = Schedule(initial=0.05, final=0.1)
    assert [schedule.penalty(step, 10, 3.0) for step in (0, 5, 10)] == [3, 3, 3]
    follows = [schedule.penalty(step, 10, 3.0, "threshold") for step in (0, 10)]
    assert follows == pytest.approx([1.5, 3.0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"initial": -0.1}, "the initial threshold is -0.1"),
        ({"final": 1.0}, "the final threshold is 1.0"),
        ({"warmup": -0.1}, "shares of the run"),
        ({"warmup": 0.6, "cooldown": 0.5}, "together at most 1"),
        ({"warmup": 0.1, "reference": True}, "has no plateaus"),
    ],
)
def test_values_that_cant_work(arguments, words):
    with pytest.raises(ValueError, match=words):
        Schedule(**arguments)


@pytest.mark.parametrize(("step", "total"), [(-1, 10), (0, 0)])
def test_steps_out_of_range(step, total):
    with pytest.raises(ValueError, match="steps count from 0"):
        Schedule().threshold(step, total)


def test_penalties_that_cant_work():
    with pytest.raises(ValueError, match="weight is -1"):
        Schedule().penalty(0, 10, -1)
    with pytest.raises(ValueError, match="neither constant nor threshold"):
        Schedule().penalty(0, 10, 1, "linear")
    with pytest.raises(ValueError, match="final threshold above 0"):
        Schedule(final=0.0).penalty(0, 10, 1, "threshold")
