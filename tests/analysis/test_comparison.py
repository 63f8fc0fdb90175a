"""Comparisons of samplers on runs whose outcome is known, and the bundled problems."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tuner_tui.analysis.comparison import Run, compare, wilson
from tuner_tui.engine.playing import play
from tuner_tui.engine.problems import DIMENSION, PROBLEMS, _optimum
from tuner_tui.view.comparison import lines, verdict


def runs(losses: dict[str, list[list[float | None]]]) -> list[Run]:
    return [Run("p", name, k, tuple(row)) for name, rows in losses.items() for k, row in enumerate(rows)]


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_have_wilsons_interval(counts: tuple[int, int]) -> None:
    won, n = counts
    share = wilson([1.0] * won + [0.0] * (n - won))
    low, high = binomtest(won, n).proportion_ci(0.95, "wilson")
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_ranks_wins_and_bands_count_crashes_and_two_trials_for_one() -> None:
    found = compare(
        runs(
            {
                "random": [[5.0, 4.0], [None, 6.0]],
                "random2x": [[5.0, 4.0, 3.0, 2.0], [None, None, None, None]],
                "tpe": [[3.0, None], [7.0, 1.0]],
            }
        ),
        2,
    )
    assert {name: share.value for name, share in found.ranks.items()} == {
        "random": 2.5,
        "random2x": 2.0,
        "tpe": 1.5,
    }
    assert found.samplers == ("tpe", "random2x", "random")
    assert found.wins["tpe", "random"].value == 1.0 and found.wins["tpe", "random2x"].value == 0.5
    assert found.bands["p", "random2x"][0].low == 4.0  # after one trial of the others it has had two
    assert found.failed == {"random": 0.25, "random2x": 0.5, "tpe": 0.25}
    assert "none" in "\n".join(lines(found))


def test_a_verdict_needs_more_than_chance() -> None:
    rng = random.Random(2)
    alike = {name: [[rng.random()] for _ in range(30)] for name in ("random", "qmc")}
    (said,) = verdict(compare(runs(alike), 1))
    assert said.startswith("qmc can't be told from random search: it is ahead in ")
    better = {"random": [[1.0]] * 30, "tpe": [[0.5]] * 30}
    (said,) = verdict(compare(runs(better), 1))
    assert said == "tpe finds a better loss than random search in 100 % (89 to 100 %) of the repeats"
    worse = {"random": [[0.1]] * 30, "tpe": [[0.5]] * 30}
    (said,) = verdict(compare(runs(worse), 1))
    assert said == "tpe finds a worse loss than random search in 100 % (89 to 100 %) of the repeats"


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_a_bundled_problem_can_be_played_and_is_the_same_each_time(problem) -> None:
    losses = play(problem, "random", 40, repeat=3, seed=5)
    assert losses == play(problem, "random", 40, repeat=3, seed=5)
    assert losses != play(problem, "random", 40, repeat=4, seed=5)  # another instance
    finite = [loss for loss in losses if loss is not None]
    assert len(set(finite)) > 20 and all(math.isfinite(loss) for loss in finite)
    assert (len(finite) < 40) == (problem.name in ("cliff", "memory"))  # where crashes are planted


@pytest.mark.parametrize("name", ["sphere", "rastrigin", "rosenbrock", "ellipsoid"])
def test_the_functions_of_bbob_are_smallest_at_their_optimum(name: str) -> None:
    """0 there, as RR-6829 has them without their offset, and above it elsewhere."""
    problem = next(p for p in PROBLEMS if p.name == name)
    loss = problem.instance(11)
    at = _optimum(11) * (0.75 if name == "rosenbrock" else 1.0)
    best = {f"x{k + 1}": float(at[k]) for k in range(DIMENSION)}
    assert loss(best) == pytest.approx(0.0, abs=1e-9)
    rng = random.Random(1)
    near = [{key: x + rng.gauss(0, 0.3) for key, x in best.items()} for _ in range(50)]
    assert all((loss(point) or 0.0) > 1e-6 for point in near)
