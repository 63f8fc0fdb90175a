"""The tests of two groups against scipy's, and against every permutation where there are few."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tuner_tui.analysis.two_groups import at_least, can_tell, chi2_tail, corrected, rank_sum, same_shares


def tables(values: np.ndarray, marked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distinct, place = np.unique(values, return_inverse=True)
    return np.bincount(place), np.bincount(place[marked], minlength=len(distinct))


def some(seed: int, total: int, m: int, values: int | None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random(total) if values is None else rng.integers(0, values, total).astype(float)
    marked = rng.permutation(total) < m
    return x + (0 if values else 0.3 * marked), marked


@pytest.mark.parametrize(("total", "m"), [(8, 2), (20, 5), (40, 11), (60, 30)])
def test_without_ties_and_counted_out_it_is_mann_whitney_exactly(total: int, m: int) -> None:
    x, marked = some(total, total, m, None)
    expected = stats.mannwhitneyu(x[marked], x[~marked], method="exact")
    p, _, side = rank_sum(*tables(x, marked))
    assert p == pytest.approx(expected.pvalue, rel=1e-9)
    assert side == pytest.approx(2 * expected.statistic / (m * (total - m)) - 1)


@pytest.mark.parametrize("values", [None, 4, 30])
@pytest.mark.parametrize(("total", "m"), [(500, 150), (3000, 200)])
def test_large_groups_are_as_in_scipy(total: int, m: int, values: int | None) -> None:
    x, marked = some(7, total, m, values)
    expected = stats.mannwhitneyu(x[marked], x[~marked], method="asymptotic", use_continuity=True)
    # With ties scipy's correction for continuity is half of a rank; ours is half the distance of two sums.
    assert rank_sum(*tables(x, marked))[0] == pytest.approx(expected.pvalue, rel=0.02)


@pytest.mark.parametrize("values", [None, 4])
def test_drawn_ones_are_close_to_the_formula_where_both_hold(values: int | None) -> None:
    x, marked = some(3, 300, 50, values)
    x = x - 0.1 * marked if values is None else x
    expected = stats.mannwhitneyu(x[marked], x[~marked], method="asymptotic").pvalue
    assert rank_sum(*tables(x, marked))[0] == pytest.approx(expected, abs=0.015)


small = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=9)


@settings(deadline=None, max_examples=60)
@given(small)
def test_few_members_with_ties_are_as_all_permutations_say(members: list[tuple[int, bool]]) -> None:
    x = np.array([value for value, _ in members])
    marked = np.array([mark for _, mark in members])
    m = int(marked.sum())
    ranks = stats.rankdata(x)
    sums = np.array([ranks[list(pick)].sum() for pick in itertools.combinations(range(len(x)), m)])
    away = np.abs(sums - sums.mean())
    p, least, _ = rank_sum(*tables(x, marked))
    assert p == pytest.approx(np.mean(away >= abs(ranks[marked].sum() - sums.mean()) - 1e-9))
    assert least == pytest.approx(np.mean(away >= away.max() - 1e-9))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("total", "m"), [(20, 4), (60, 25), (800, 30)])
def test_two_options_are_fishers_exact_test(total: int, m: int, seed: int) -> None:
    x, marked = some(seed, total, m, 2)
    counts, of_marked = tables(x, marked)
    expected = stats.fisher_exact([of_marked, counts - of_marked]).pvalue
    assert same_shares(counts, of_marked)[0] == pytest.approx(expected, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(small)
def test_few_members_with_options_are_as_all_permutations_say(members: list[tuple[int, bool]]) -> None:
    x = np.array([value for value, _ in members])
    marked = np.array([mark for _, mark in members])
    counts, of_marked = tables(x, marked)
    place = np.unique(x, return_inverse=True)[1]

    def ways(table: np.ndarray) -> float:
        return float(np.prod([float(np.round(c)) for c in _choose(counts, table)]))

    every = [
        ways(np.bincount(place[list(pick)], minlength=len(counts)))
        for pick in itertools.combinations(range(len(x)), int(marked.sum()))
    ]
    p, least = same_shares(counts, of_marked)
    assert p == pytest.approx(np.mean(np.array(every) <= ways(of_marked) * (1 + 1e-7)))
    assert least == pytest.approx(np.mean(np.array(every) <= min(every) * (1 + 1e-7)))


def _choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    from scipy.special import comb

    return comb(n, k)


def test_many_options_and_members_are_chi_square() -> None:
    x, marked = some(2, 2000, 400, 6)
    counts, of_marked = tables(x, marked)
    expected = stats.chi2_contingency([of_marked, counts - of_marked], correction=False).pvalue
    assert same_shares(counts, of_marked)[0] == pytest.approx(expected, rel=0.01)


def test_many_options_and_few_members_are_drawn() -> None:
    x, marked = some(5, 300, 40, 12)
    counts, of_marked = tables(x, marked)
    expected = stats.chi2_contingency([of_marked, counts - of_marked], correction=False).pvalue
    assert same_shares(counts, of_marked)[0] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("freedom", range(1, 12))
@pytest.mark.parametrize("x", [0.0, 0.1, 1.0, 5.0, 30.0, 200.0])
def test_the_tail_of_chi_square(x: float, freedom: int) -> None:
    assert chi2_tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-9)


@pytest.mark.parametrize(("total", "inside", "m"), [(50, 20, 12), (10, 8, 6), (6, 6, 3), (9, 1, 9)])
def test_at_least(total: int, inside: int, m: int) -> None:
    expected = stats.hypergeom.sf(np.arange(m + 1) - 1, total, inside, m)
    np.testing.assert_allclose(at_least(total, inside, m), expected, atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_correction_is_benjamini_and_hochbergs(ps: list[float]) -> None:
    np.testing.assert_allclose(corrected(ps), stats.false_discovery_control(ps), rtol=1e-12)


def test_tests_too_small_to_say_anything_do_not_cost_the_others() -> None:
    assert can_tell([0.03, 0.5, 0.5, 1.0], 0.05) == [True, False, False, False]
    assert can_tell([0.03, 0.04], 0.05) == [False, False]  # neither could reach half the level
    assert can_tell([0.02, 0.02], 0.05) == [True, True]
    assert can_tell([], 0.05) == []
