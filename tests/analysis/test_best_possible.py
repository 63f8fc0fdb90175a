"""The best possible loss: its distribution against quadrature, its interval against planted optima."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom
from support import studies

from tuner_tui.analysis.best_possible import (
    FEWEST,
    BestPossible,
    Unsaid,
    _log_h,
    _log_likelihood,
    best_possible,
    interval,
)
from tuner_tui.search.space import Space
from tuner_tui.study.outcomes import Reason


@pytest.mark.parametrize("g", [-1, 0, 1, 4, 11, 20])
@pytest.mark.parametrize("t", [-19.0, -6.0, -1.0, 0.0, 3.0, 25.0])
def test_h_is_its_integral(g, t):
    """With the factor exp(-t^2 / 2) apart for t < 0, which would underflow."""

    def integrand(u):  # of u = sqrt(v), which takes the pole of g = -1 away
        return 2 * u ** (g + 1) * math.exp(-(u**4) / 2 + u * u * t - (0 if t < 0 else t * t / 2))

    value = quad(integrand, 0, math.sqrt(max(t, 0) + 12), points=[math.sqrt(max(t, 0.01))], limit=200)[0]
    wanted = math.log(value) - math.log(2 * math.pi) / 2 - (t * t / 2 if t < 0 else 0)
    assert float(_log_h(g, np.array(t))) == pytest.approx(wanted, abs=3e-3)


@pytest.mark.parametrize("g", [0, 1, 2, 5])
def test_the_density_of_one_loss_below_the_next_has_integral_one(g):
    def density(x):
        return np.exp(_log_likelihood(np.array([x]), g, np.array([[-0.3]]), np.array([0.2]))[0, 0])

    at = np.linspace(-3, 1, 4001)
    assert sum(map(density, at)) * (at[1] - at[0]) == pytest.approx(1, abs=1e-3)


def planted(rng, n, dimensions, noise, cusp=False):
    """Losses whose mean at the optimum, which lies anywhere in the cube, is 1."""
    off = rng.uniform(-1, 1, (n, dimensions)) - rng.uniform(-0.8, 0.8, dimensions)
    far = np.abs(off) if cusp else off**2
    return 1 + (far * 3.0 ** -np.arange(dimensions)).sum(1) + noise * rng.normal(size=n)


def test_the_interval_misses_at_most_one_planted_optimum_in_20():
    """With and without noise, and with a cusp. 432 searches: a true 5 % exceeds 36 once in a thousand runs."""
    rng, told, missed = np.random.default_rng(20170501), 0, 0
    for dimensions in (1, 2, 4):
        for noise in (0.0, 0.05, 0.2):
            for cusp in (False, True):
                for n in (320, 600):
                    for _ in range(12):
                        found = interval(planted(rng, n, dimensions, noise, cusp).tolist(), dimensions)
                        if isinstance(found, BestPossible):
                            told += 1
                            missed += not found.good <= 1 <= (math.inf if found.bad is None else found.bad)
    assert told > 400 and missed <= binom.ppf(0.999, told, 0.05)


def test_it_is_narrow_where_there_is_something_to_know():
    """400 trials of two hyperparameters without noise: the optimum is known to a tenth of the middle trial's loss."""
    losses = planted(np.random.default_rng(1), 400, 2, 0.0)
    found = interval(losses.tolist(), 2)
    assert isinstance(found, BestPossible) and found.bad is not None
    assert found.bad - found.good < 0.1 * (np.median(losses) - 1)


def test_it_moves_and_stretches_with_the_losses():
    losses = planted(np.random.default_rng(2), 200, 2, 0.01)
    a, b = interval(losses.tolist(), 2), interval((1e-3 * losses - 7).tolist(), 2)
    assert isinstance(a, BestPossible) and isinstance(b, BestPossible)
    assert (b.good, b.best) == pytest.approx((1e-3 * a.good - 7, 1e-3 * a.best - 7), abs=1e-9)


def test_where_it_says_nothing():
    rng = np.random.default_rng(3)
    losses = planted(rng, FEWEST, 1, 0.0)
    assert isinstance(interval(losses.tolist(), 1), BestPossible)
    assert interval(losses.tolist(), 3) is Unsaid.TOO_FEW
    assert interval(losses[1:].tolist(), 1) is Unsaid.TOO_FEW
    wide = rng.normal(size=720)  # nothing but noise, and six ranges: the optimum may lie anywhere
    assert interval(wide.tolist(), 6) is Unsaid.TOO_FEW
    assert interval(np.round(losses, 1).tolist(), 1) is Unsaid.EQUAL
    assert interval([1.0] * 200, 1) is Unsaid.EQUAL
    assert isinstance(interval([1e308, -1e308] * 50 + [0.0] * 100, 1), Unsaid)


def study(losses, **changes):
    rng = random.Random(1)
    made = [
        studies.Made(
            studies.draw_params(studies.SMALL_SPACE, rng),
            (loss,) if loss else (),
            None if loss else Reason.EXCEPTION,
        )
        for loss in losses
    ]
    snapshot = studies.study_of(studies.SMALL_SPACE, made)
    return replace(snapshot, search=replace(snapshot.search, **changes))


def test_only_finished_independent_draws_with_a_range_count():
    losses = planted(np.random.default_rng(4), 400, 2, 0.0).tolist()
    found = best_possible(study(losses))
    assert isinstance(found, BestPossible) and found == best_possible(study([*losses, *[None] * 50]))
    assert best_possible(study(losses, sampler="tpe")) is None
    choices = Space(tuple(h for h in studies.SMALL_SPACE if h.name == "activation"))
    assert best_possible(study(losses, space=choices)) is None


def test_ten_thousand_trials_take_less_than_two_seconds():
    losses = planted(np.random.default_rng(5), 10_000, 6, 0.1).tolist()
    began = time.process_time()
    assert isinstance(interval(losses, 6), BestPossible)
    assert time.process_time() - began < 2
