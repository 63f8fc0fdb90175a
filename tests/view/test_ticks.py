"""Ticks are round, inside their limits, and told apart by their labels."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from tuner_tui.view.ticks import linear_ladder, log_ladder, number, usual


def is_round(step: float) -> bool:
    """1, 2 or 5 times a power of ten."""
    return f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_linear_ticks_are_round_and_inside(low, span):
    high = low + span
    assume(high - low > max(abs(low), abs(high)) * 1e-6)  # narrower, this test itself would be imprecise
    for ticks in linear_ladder(low, high):
        assert len({tick.label for tick in ticks}) == len(ticks) >= 2
        step = (ticks[-1].position - ticks[0].position) / (len(ticks) - 1)
        assert is_round(step)
        for tick in ticks:
            assert low - 1e-6 * span <= tick.position <= high + 1e-6 * span
            assert abs(tick.position / step - round(tick.position / step)) < 1e-3
            assert math.isclose(float(tick.label), tick.position, abs_tol=1e-9 * span)


@given(st.floats(-320, 300), st.floats(0.005, 600))
def test_log_ticks_are_round_and_inside(low, span):
    high = min(low + span, 320)
    assume(high > low)
    ladder = log_ladder(low, high)
    assert all(ladder)
    for ticks in ladder:
        positions = [tick.position for tick in ticks]
        assert positions == sorted(positions)
        assert low - 1e-6 <= positions[0] and positions[-1] <= high + 1e-6


@given(st.integers(-8, 8), st.integers(1, 6))
def test_a_few_decades_have_1_2_5_in_each(decade, decades):
    finest = log_ladder(decade, decade + decades)[-1]
    assert len(finest) == 3 * decades + 1
    digits = {f"{10**tick.position:.3e}"[:5] for tick in finest}
    assert digits <= {"1.000", "2.000", "5.000"}


def test_many_decades_have_one_tick_for_several():
    assert [tick.label for tick in usual(log_ladder(-300, 300))] == [
        "1e-300", "1e-200", "1e-100", "1", "1e100", "1e200", "1e300",
    ]  # fmt: skip


def test_less_than_a_factor_of_two_has_round_steps_at_their_logarithms():
    ticks = usual(log_ladder(math.log10(1.91), math.log10(1.97)))
    assert [tick.label for tick in ticks] == ["1.91", "1.92", "1.93", "1.94", "1.95", "1.96", "1.97"]
    assert ticks[0].position == math.log10(1.91)


def test_whole_numbers_have_whole_ticks():
    for ticks in linear_ladder(2, 5, whole=True):
        assert all(tick.position == round(tick.position) for tick in ticks)
    assert [t.label for t in linear_ladder(2, 5, whole=True)[-1]] == ["2", "3", "4", "5"]


def test_numbers_are_short():
    shown = [number(v, 6) for v in (0, 0.05, 1e-3, 0.025, 1000, 2048, 131072, 1e6, 2.5e-7, -3, 1e300)]
    assert shown == ["0", "0.05", "1e-3", "0.025", "1000", "2048", "131072", "1e6", "2.5e-7", "-3", "1e300"]
