"""Tests whether marked members of a group differ from the rest. The false-alarm rate holds even if few are marked.

A sweep has five crashes, not five hundred, and hyperparameters with four values: there the usual formulas for
large samples raise false alarms. So every p here is of the permutation test (each choice of `marked` members
is as likely as any other): counted out where that is cheap, from seeded draws where it is not, and by the
formula only where it is known to be close. The marked are named by how many have each value, so the order of
the members can't matter.

- a number: the rank sum (Wilcoxon 1945; Mann & Whitney 1947) with mean ranks for ties, two-sided. Counted out
  by the shift algorithm (Streitberg & Röhmel 1986).
- an option: Fisher's exact test, for more than two options as Freeman & Halton (1951) extended it.
- many at once: Benjamini & Hochberg (1995), and Tarone (1990) for tests too small to say anything.

Own code because `import scipy.stats` takes 1.2 s and a screen waits for this; the tests compare it with scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SEED = 20170501  # any constant: the same study must get the same verdict twice
DRAWS = 9_999  # the least p is 1/10,000: below 0.05 shared among 13, or 100, hyperparameters
COUNT_OUT = 4_000_000  # additions of one counting out: 10 ms
TABLES = 20_000  # tables of one counting out: 5 ms
# The largest square of one member's part in the rank sum, as a share of the sum's variance, at which the normal
# distribution is taken: without ties about 60 marked members. With ties it asks for more.
ONE_PART = 0.05
MOST_DEALT = 200  # members dealt in a draw: more than without ties are ever needed
FEWEST_EXPECTED = 5.0  # in every cell, before the chi-square distribution is taken (Cochran 1954)


# --- a number


def rank_sum(counts: Array, marked: Array) -> tuple[float, float, float]:
    """(p, the least p possible, how far the marked rank above the rest: -1 to 1).

    `counts[i]` members have the i-th smallest value and `marked[i]` of them are marked.
    """
    total, m = int(counts.sum()), int(marked.sum())
    if m in (0, total) or len(counts) < 2:
        return 1.0, 1.0, 0.0
    # Twice the mean rank, counted from 0: whole numbers, also with ties.
    ranks = 2 * np.cumsum(counts) - counts - 1
    ranks = ranks - ranks[0]
    mean = m * float(counts @ ranks) / total
    away = float(marked @ ranks) - mean
    furthest = max(_highest(ranks, counts, m) - mean, mean + _highest(-ranks[::-1], counts[::-1], m))
    p, least = _rank_sum_tails(counts, ranks, m, (abs(away), furthest))
    return p, least, away / (m * (total - m))


def _highest(ranks: Array, counts: Array, m: int) -> float:
    """The sum of the m highest ranks."""
    taken = np.minimum(np.cumsum(counts[::-1]), m)
    return float(ranks[::-1] @ np.diff(taken, prepend=0))


def _rank_sum_tails(counts: Array, ranks: Array, m: int, aways: Sequence[float]) -> list[float]:
    """The chance of a rank sum at least so far from its mean, for each of `aways`."""
    total = int(counts.sum())
    few = min(m, total - m)  # the rest are as far from their mean as the marked
    step = int(np.gcd.reduce(ranks))  # ties leave gaps; counting out is shorter without them
    ranks = ranks // step
    mean = float(counts @ ranks) / total
    limits = [away / step - 1e-6 for away in aways]
    if total * (few + 1) * _highest(ranks, counts, few) <= COUNT_OUT:
        chances = _counted_out(tuple(counts.tolist()), tuple(ranks.tolist()), few)
        sums = np.abs(np.arange(len(chances)) - few * mean)
        return [min(1.0, float(chances[sums >= limit].sum())) for limit in limits]
    variance = few * (total - few) / (total * (total - 1)) * float(counts @ (ranks - mean) ** 2)
    one_part = float(np.max((ranks - mean) ** 2)) / variance
    if one_part > ONE_PART and few <= MOST_DEALT:
        sums = np.repeat(ranks, counts)[_deals(total, few)].sum(axis=1)
    elif one_part > ONE_PART and len(counts) <= MOST_DEALT:
        sums = _tables(tuple(counts.tolist()), few) @ ranks
    else:  # half a step for continuity: neighbouring sums are one step apart
        return [math.erfc(max(0.0, limit - 0.5) / math.sqrt(2 * variance)) for limit in limits]
    return [_share(np.abs(sums - few * mean), limit) for limit in limits]


@lru_cache(maxsize=64)  # a screen asks again at every event; continuous hyperparameters share one answer
def _counted_out(counts: tuple[int, ...], ranks: tuple[int, ...], m: int) -> Array:
    """The chance of every sum of the ranks of m members, by adding one member at a time."""
    largest = int(_highest(np.array(ranks), np.array(counts), m))
    ways = np.zeros((m + 1, largest + 1))
    ways[0, 0] = 1.0
    for rank, count in zip(ranks, counts, strict=True):
        for _ in range(count):
            ways[1:, rank:] += ways[:-1, : largest + 1 - rank]
    return ways[m] / ways[m].sum()


@lru_cache(maxsize=8)
def _deals(total: int, few: int) -> Array:
    """DRAWS sets of `few` members out of `total`, one set a row (Floyd's algorithm: Bentley & Floyd 1987)."""
    rng = np.random.default_rng((SEED, total, few))
    drawn = np.full((few, DRAWS), -1, dtype=np.int32)
    for i, last in enumerate(range(total - few, total)):
        member = rng.integers(0, last + 1, DRAWS, dtype=np.int32)
        taken = (drawn[:i] == member).any(axis=0)
        drawn[i] = np.where(taken, last, member)
    return np.ascontiguousarray(drawn.T)


@lru_cache(maxsize=8)
def _tables(counts: tuple[int, ...], m: int) -> Array:
    """DRAWS tables: how many of m marked members fall on each value, one table a row."""
    rng = np.random.default_rng((SEED, sum(counts), m))
    return rng.multivariate_hypergeometric(counts, m, DRAWS, method="marginals")


def _share(drawn: Array, limit: float) -> float:
    """p from draws; the data count as one of them, else p could be 0 (Phipson & Smyth 2010)."""
    return (1 + int(np.count_nonzero(drawn >= limit))) / (1 + len(drawn))


# --- an option


def same_shares(counts: Array, marked: Array) -> tuple[float, float]:
    """(p, the least p possible): `counts[i]` members have option i, `marked[i]` of them are marked."""
    total, m = int(counts.sum()), int(marked.sum())
    if m in (0, total) or len(counts) < 2:
        return 1.0, 1.0
    few, of_few = (m, marked) if 2 * m <= total else (total - m, counts - marked)
    surprise = -float(_log_choose(counts, of_few).sum())
    expected = counts * (few / total)
    if len(counts) > 2 and float(expected.min()) >= FEWEST_EXPECTED:
        chi2 = float(((of_few - expected) ** 2 / expected).sum()) * (total - 1) / (total - few)
        return chi2_tail(chi2, len(counts) - 1), 0.0
    law = _counted_tables(tuple(sorted(counts.tolist())), few)
    if law is None:
        tables = _tables(tuple(counts.tolist()), few)
        return _share(-_log_choose(counts, tables).sum(axis=1), surprise - 1e-7), 1 / (1 + DRAWS)
    surprises, chances = law
    p, least = (
        float(chances[surprises >= limit - 1e-7].sum()) for limit in (surprise, float(surprises.max()))
    )
    return min(1.0, p), min(1.0, least)


@lru_cache(maxsize=64)
def _counted_tables(counts: tuple[int, ...], m: int) -> tuple[Array, Array] | None:
    """(minus log of its number of ways, chance) of every table of m marked members; None if too many."""
    used, ways = np.zeros(1, dtype=np.int64), np.zeros(1)
    left = sum(counts)
    for count in counts:
        left -= count
        more = np.arange(min(count, m) + 1)
        if len(used) * len(more) > 50 * TABLES:
            return None
        together = (used[:, None] + more).ravel()
        logs = (ways[:, None] + _log_choose(np.array(count), more)).ravel()
        possible = (together <= m) & (together + left >= m)
        used, ways = together[possible], logs[possible]
        if len(used) > TABLES:
            return None
    return -ways, np.exp(ways - _log_choose(np.array(sum(counts)), np.array(m)))


def at_least(total: int, inside: int, m: int) -> Array:
    """The chance that at least 0, 1, ... m of m marked members are among `inside` of `total`."""
    k = np.arange(m + 1)
    least, most = max(0, m - (total - inside)), min(inside, m)
    ways = np.clip(k, least, most)
    logs = _log_choose(np.array(inside), ways) + _log_choose(np.array(total - inside), m - ways)
    chances = np.exp(logs - _log_choose(np.array(total), np.array(m)))
    return np.cumsum(np.where((k >= least) & (k <= most), chances, 0.0)[::-1])[::-1]


def _log_choose(n: Array, k: Array) -> Array:
    table = _log_factorials(1 << int(np.max(n)).bit_length())
    return table[n] - table[k] - table[n - k]


@lru_cache(maxsize=2)
def _log_factorials(up_to: int) -> Array:
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, up_to + 1)))))


def chi2_tail(x: float, freedom: int) -> float:
    """The upper tail of the chi-square distribution: a finite sum (Abramowitz & Stegun 26.4.4-5)."""
    half = x / 2
    odd = freedom % 2 == 1
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    term = math.exp(-half) * (2 * math.sqrt(half / math.pi) if odd else 1.0)
    for i in range(freedom // 2):
        tail += term
        term *= half / (i + 1.5 if odd else i + 1)
    return min(1.0, tail)


# --- many at once


def can_tell(least: Sequence[float], level: float) -> list[bool]:
    """Which tests take part in the correction: those that could reach the level at all (Tarone 1990).

    A test whose p can't be small, however the marked members fall, raises no false alarm, so the others need
    not pay for it. This looks only at how many members and ties there are, never at who is marked.
    """
    for many in range(1, len(least) + 1):
        told = [p <= level / many for p in least]
        if sum(told) <= many:
            return told
    return [False] * len(least)


def corrected(ps: Sequence[float]) -> list[float]:
    """The least false discovery rate at which each would be found (Benjamini & Hochberg 1995)."""
    out = [1.0] * len(ps)
    smallest = 1.0
    for rank, index in sorted(enumerate(sorted(range(len(ps)), key=ps.__getitem__), 1), reverse=True):
        smallest = min(smallest, ps[index] * len(ps) / rank)
        out[index] = smallest
    return out
