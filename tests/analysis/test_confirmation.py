"""Confirmations against scipy and against simulated sweeps whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuner_tui.analysis.confirmation import chosen_for, confirmation
from tuner_tui.analysis.means import difference, interval
from tuner_tui.search.again import Again, Point
from tuner_tui.search.search import CONFIRMATION, Search
from tuner_tui.search.space import Space
from tuner_tui.study.outcomes import Outcome
from tuner_tui.study.snapshot import Snapshot, Trial
from tuner_tui.view.confirmation import find, sentences

losses = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=2, max_size=8)


def confirmed(
    runs: Sequence[Sequence[float | None]], swept: Sequence[float] | None = None, direction: str = "minimize"
) -> Snapshot:
    """The study that confirms one with these trials; None: a run that failed."""
    values = swept or [fmean([v for v in own if v is not None] or [0.0]) for own in runs]
    points = tuple(Point(f"trial {10 + k}", {}, 10 + k, value) for k, value in enumerate(values))
    seeds = len(runs[0])
    search = Search(
        "x", "a:b", "loss", Space(), direction=direction, kind=CONFIRMATION, again=Again("x-1", points, 40),
        trials=seeds * len(runs),
    )  # fmt: skip
    trials = {}
    for number in range(seeds * len(runs)):
        value = runs[number % len(runs)][number // len(runs)]
        outcome = Outcome.NO_START if value is None else Outcome.FINISHED
        trials[number] = Trial(number, {}, outcome=outcome, value=value)
    return Snapshot(search=search, planned=search.trials, trials=trials)


@given(losses, losses)
def test_intervals_and_differences_are_those_of_scipy(a: list[float], b: list[float]) -> None:
    if len(set(a)) > 1:
        low, high = stats.t.interval(0.95, len(a) - 1, loc=fmean(a), scale=stats.sem(a))
        assert (interval(a).low, interval(a).high) == (pytest.approx(low), pytest.approx(high))
    if len(set(a)) > 1 or len(set(b)) > 1:
        gap, p = difference(a, b)
        tested = stats.ttest_ind(a, b, equal_var=False)
        assert p == pytest.approx(tested.pvalue, abs=1e-9)
        bounds = tested.confidence_interval(0.95)
        assert (gap.low, gap.high) == (
            pytest.approx(bounds.low, abs=1e-6),
            pytest.approx(bounds.high, abs=1e-6),
        )


@pytest.mark.parametrize(("seeds", "naive_bias"), [(3, -0.59), (5, -0.46), (10, -0.33)])
def test_the_corrected_estimate_is_unbiased_where_the_best_mean_is_not(seeds: int, naive_bias: float) -> None:
    """Four trials that are equally good: the best of their means looks better than any of them is, by 1.03 standard
    errors (the mean of the smallest of four normal numbers)."""
    rng = random.Random(seeds)
    naive, corrected, covered = [], [], 0
    sweeps = 300
    for _ in range(sweeps):
        found = confirmation(confirmed([[rng.gauss(1, 1) for _ in range(seeds)] for _ in range(4)]))
        assert found is not None and found.chosen is not None and found.corrected is not None
        naive.append(found.chosen.mean.mean - 1)
        corrected.append(found.corrected.mean - 1)
        covered += found.corrected.low <= 1 <= found.corrected.high
    assert fmean(naive) == pytest.approx(naive_bias, abs=0.08)
    assert fmean(corrected) == pytest.approx(0.0, abs=4 * stdev(corrected) / sweeps**0.5)
    assert covered / sweeps > 0.93


def test_trials_that_are_alike_are_rarely_told_apart_and_different_ones_mostly() -> None:
    rng = random.Random(1)
    false, found_out = 0, 0
    for _ in range(300):
        alike = confirmation(confirmed([[rng.gauss(0, 1) for _ in range(5)] for _ in range(4)]))
        apart = confirmation(confirmed([[rng.gauss(4 * k, 1) for _ in range(5)] for k in range(2)]))
        assert alike is not None and apart is not None
        false += any(c.apart for c in alike.comparisons)
        found_out += all(c.apart for c in apart.comparisons)
    # The chosen trial is the best of four, so its differences are larger than those of two given ones.
    assert false / 300 < 0.12 and found_out / 300 > 0.95


def test_what_is_said_of_a_confirmation() -> None:
    runs = [[0.50, 0.52, 0.54, 0.51, 0.53], [0.48, 0.50, 0.49, 0.47, 0.51], [0.90, 0.91, 0.92, 0.93, 0.94]]
    found = find(confirmed(runs, swept=[0.40, 0.45, 0.91]))
    assert found is not None
    told = sentences(found)
    assert told[0] == "trial 10 (0.4 in the sweep): 0.52 ± 0.02 (95 % interval) over 5 fresh runs"
    assert (
        told[3]
        == "the order of the sweep is not confirmed: 10, 11, 12 there, 11, 10, 12 by the means of fresh runs"
    )
    assert (
        told[4]
        == "trial 11 is better than trial 10 by 0.03 ± 0.023 (95 % interval): more than the noise between seeds"
    )
    assert told[5].startswith("trial 11 is better than trial 12 by 0.43 ± 0.023")
    assert told[6] == (
        "trial 10, the best of 40 trials, was lucky in the sweep: fresh runs are worse by 0.12 on average"
    )
    assert told[7] == (
        "corrected for having been chosen, trial 11 is worth 0.49 ± 0.022 (95 % interval) "
        "(choice and estimate from different runs)"
    )
    upwards = find(confirmed(runs, direction="maximize"))
    assert upwards is not None and upwards[0].chosen is upwards[0].trials[2]


def test_runs_that_fail_or_are_alike_or_too_few_are_told() -> None:
    failed = find(confirmed([[0.5, None, 0.6], [0.7, 0.8, 0.9]]))
    assert failed is not None
    assert "over 2 fresh runs; 1 run failed" in sentences(failed)[0]
    assert failed[0].chosen is failed[0].trials[1]  # what fails half of the time is not chosen
    alike = find(confirmed([[0.5] * 3, [0.5] * 3]))
    assert alike is not None
    assert "the runs of each trial are all alike: the seed changes nothing here" in sentences(alike)
    none = find(confirmed([[None, None]]))
    assert (
        none is not None
        and sentences(none)[0] == "trial 10 (0 in the sweep): no run has finished; 2 runs failed"
    )
    assert sentences(none)[-1] == "too few runs to say more: each trial needs two that finish"


def test_the_best_trials_and_the_median_one_are_chosen() -> None:
    trials = {n: Trial(n, {}, outcome=Outcome.FINISHED, value=float(n)) for n in range(9)}
    trials[9] = Trial(9, {}, outcome=Outcome.UNFINISHED, value=-1.0)
    snapshot = Snapshot(search=Search("x", "a:b", "loss", Space()), trials=trials)
    assert [t.number for _, t in chosen_for(snapshot, 3)] == [0, 1, 2, 4]
    assert [t.number for _, t in chosen_for(snapshot, 6)] == [0, 1, 2, 3, 4, 5]
    assert chosen_for(Snapshot(), 3) == []
