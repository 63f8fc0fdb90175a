"""Tests whether failed trials are concentrated at some values of a hyperparameter.

"The red runs are evenly distributed over the hyperparameter space, which is good. If they were bunched up in a
particular region, then that region would be underrepresented." The author of the 2017 search
judged this by eye. In fact they are concentrated at large values of several hyperparameters in his picture
(docs/crash-bias.md).

Two kinds of failure are tested separately, because their causes differ (a model that doesn't fit, a
training that diverges):

- never started: trials without one finite loss, among all of which we know whether they started. A running
  trial with a finite loss has; to wait for its end would count slow trials late and fast crashes at once.
- unfinished: trials that ended early after a finite loss, among those and the finished ones.

Ends that say nothing about hyperparameters (`SAYS_NOTHING`: pruned, stopped, interrupted) are not failures. Such a
trial still counts as one that started if it has a finite loss, and is otherwise left out.

One test per hyperparameter among the trials that have it (`two_groups` says which), corrected over the
hyperparameters. The region is the one that separates best in these very trials: it shows where to look, and
its counts can be checked by hand, but the p-value belongs to the whole hyperparameter, not to the region.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ..search.space import Choice, Distribution, Float, Int, Space, frozen
from ..study.outcomes import Outcome, Reason
from ..study.snapshot import Snapshot, Trial
from .two_groups import Array, at_least, can_tell, corrected, rank_sum, same_shares

# The chance of a false alarm among all hyperparameters when nothing is biased, for each of the two questions.
# 1 in 20 is the usual bargain; a false alarm costs a look at one panel, a missed bias a wrong conclusion.
LEVEL = 0.05
# Ends that a person, the engine or the pruner brought about, whatever the hyperparameters would have led to.
SAYS_NOTHING = frozenset({Reason.PRUNED, Reason.STOPPED, Reason.INTERRUPTED})


class Verdict(StrEnum):
    """What the test says of one hyperparameter."""

    BIASED = "biased"
    EVEN = "even"  # no sign of bias, where one of the strength `Bias.noticeable` would have shown
    TOO_FEW = "too_few"  # not even all failures on one half of its values would have shown


class Side(StrEnum):
    """On which side of a threshold the failures crowd, or that they crowd at one option."""

    ABOVE = "above"  # larger than the value
    BELOW = "below"  # smaller than the value
    IS = "is"  # the option itself


@dataclass(frozen=True)
class Region:
    """Where failures crowd most: the side of a threshold, or an option, and how many trials lie there."""

    side: Side
    value: Any  # the threshold, as short as its counts allow; or the option
    failed: int
    trials: int  # failed or not


@dataclass(frozen=True)
class Bias:
    """What is known of one hyperparameter and one kind of failure."""

    name: str
    verdict: Verdict
    failed: int  # of the trials that have this hyperparameter
    trials: int
    p: float
    corrected: float  # over all hyperparameters; 1.0 where the test was too small to take part
    region: Region | None  # None where no trial failed, or all did
    # How many of the failed on one half of its values (of an option: on the option nearest to half of the
    # trials) would about be noticed; None if not even all of them.
    noticeable: int | None


@dataclass(frozen=True)
class FailureBias:
    """One kind of failure over all hyperparameters, the worst first."""

    outcome: Outcome  # NO_START or UNFINISHED
    failed: int
    trials: int
    hyperparameters: tuple[Bias, ...] = ()  # without those that had one value in all trials

    @property
    def biased(self) -> tuple[Bias, ...]:
        """The hyperparameters with a bias, the worst first."""
        return tuple(bias for bias in self.hyperparameters if bias.verdict is Verdict.BIASED)

    @property
    def verdict(self) -> Verdict:
        """Biased when one is; else what holds for most of them, and too few when that is a draw."""
        found = [bias.verdict for bias in self.hyperparameters]
        if Verdict.BIASED in found:
            return Verdict.BIASED
        return Verdict.EVEN if 2 * found.count(Verdict.EVEN) > len(found) else Verdict.TOO_FEW

    def of(self, name: str) -> Bias | None:
        """What is known of the hyperparameter `name`; None if it was not tested."""
        return next((bias for bias in self.hyperparameters if bias.name == name), None)


@dataclass(frozen=True)
class CrashBias:
    """Both kinds of failure, tested apart."""

    never_started: FailureBias
    unfinished: FailureBias

    @property
    def kinds(self) -> tuple[FailureBias, FailureBias]:
        """Never started, then unfinished: the order in which they are shown."""
        return self.never_started, self.unfinished


def crash_bias(snapshot: Snapshot) -> CrashBias:
    """Test every hyperparameter of the search for both kinds of failure."""
    space, trials = snapshot.space, snapshot.trials.values()
    told = [t for t in trials if t.reason not in SAYS_NOTHING]
    finished = [t for t in trials if t.outcome is Outcome.FINISHED]
    no_start = [t for t in told if t.outcome is Outcome.NO_START]
    unfinished = [t for t in told if t.outcome is Outcome.UNFINISHED]
    # With a finite loss: an unfinished one, whatever ended it, and one that still runs.
    started = [
        t
        for t in trials
        if t.outcome in (Outcome.FINISHED, Outcome.UNFINISHED) or (t.running and t.value is not None)
    ]
    return CrashBias(
        _failure_bias(Outcome.NO_START, space, no_start, started),
        _failure_bias(Outcome.UNFINISHED, space, unfinished, finished),
    )


@dataclass(frozen=True)
class _Table:
    """One hyperparameter's distinct values in order, with how many trials have each and how many failed."""

    name: str
    distribution: Distribution
    values: Sequence[Any] | Array
    counts: Array
    marked: Array

    @property
    def trials(self) -> int:
        return int(self.counts.sum())

    @property
    def failed(self) -> int:
        return int(self.marked.sum())


def _failure_bias(
    outcome: Outcome, space: Space, failed: Sequence[Trial], rest: Sequence[Trial]
) -> FailureBias:
    tables = [_table(h.name, h.distribution, failed, rest) for h in space]
    tables = [table for table in tables if len(table.values) > 1]
    tests = [_test(table) for table in tables]
    takes_part = can_tell([least for _, least in tests], LEVEL)
    parts = [i for i, takes in enumerate(takes_part) if takes]
    right = dict(zip(parts, corrected([tests[i][0] for i in parts]), strict=True))
    biases: list[Bias] = []
    for i, (table, (p, _)) in enumerate(zip(tables, tests, strict=True)):
        noticeable = _noticeable(table, LEVEL / len(parts)) if i in right else None
        if right.get(i, 1.0) <= LEVEL:
            verdict = Verdict.BIASED
        else:
            verdict = Verdict.TOO_FEW if noticeable is None else Verdict.EVEN
        biases.append(
            Bias(
                table.name, verdict, table.failed, table.trials, p, right.get(i, 1.0),
                _region(table), noticeable,
            )
        )  # fmt: skip
    order = tuple(Verdict)
    biases.sort(key=lambda bias: (order.index(bias.verdict), bias.corrected, bias.p))
    return FailureBias(outcome, len(failed), len(failed) + len(rest), tuple(biases))


# --- from trials to a table


def _table(name: str, distribution: Distribution, failed: Sequence[Trial], rest: Sequence[Trial]) -> _Table:
    """Only of trials that have the hyperparameter: a conditional one is absent from the others."""
    if isinstance(distribution, Choice):
        return _options(name, distribution, _values(name, failed), _values(name, rest))
    marked, others = _numbers(_values(name, failed)), _numbers(_values(name, rest))
    values, place = np.unique(np.concatenate((marked, others)), return_inverse=True)
    return _Table(
        name, distribution, values.tolist(),
        np.bincount(place, minlength=len(values)),
        np.bincount(place[: len(marked)], minlength=len(values)),
    )  # fmt: skip


def _values(name: str, trials: Sequence[Trial]) -> list[Any]:
    return [trial.params[name] for trial in trials if name in trial.params]


def _numbers(values: Sequence[Any]) -> Array:
    """The finite ones: a hand-written journal may hold anything, and only a number has a rank."""
    found: list[float] = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                found.append(float(value))
            except OverflowError:  # a whole number beyond all floats
                continue
    numbers = np.array(found, dtype=float)
    return numbers[np.isfinite(numbers)] + 0.0  # -0.0 is 0.0


def _options(name: str, choice: Choice, failed: Sequence[Any], rest: Sequence[Any]) -> _Table:
    """Options in the order of the search file, then those it no longer has."""
    tally: dict[Hashable, list[Any]] = {_key(option): [option, 0, 0] for option in choice.options}
    for at, values in ((1, failed), (2, rest)):
        for value in values:
            tally.setdefault(_key(value), [frozen(value), 0, 0])[at] += 1
    known = {_key(option) for option in choice.options}
    strange = sorted((key for key in tally if key not in known), key=repr)
    rows = [tally[key] for key in (*dict.fromkeys(map(_key, choice.options)), *strange)]
    rows = [row for row in rows if row[1] + row[2]]
    marked = np.array([row[1] for row in rows], dtype=np.int64)
    others = np.array([row[2] for row in rows], dtype=np.int64)
    return _Table(name, choice, [row[0] for row in rows], marked + others, marked)


def _key(value: Any) -> Hashable:
    value = frozen(value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value if value == value else repr(value)  # nan is not itself


# --- from a table to what is said of it


def _test(table: _Table) -> tuple[float, float]:
    if isinstance(table.distribution, Choice):
        return same_shares(table.counts, table.marked)
    return rank_sum(table.counts, table.marked)[:2]


def _noticeable(table: _Table, level: float) -> int | None:
    """See `Bias.noticeable`: by the chance that so many fall there, two-sided."""
    total, failed = table.trials, table.failed
    half = total // 2
    if isinstance(table.distribution, Choice):
        half = min(table.counts.tolist(), key=lambda count: (abs(2 * count - total), count))
    for k, chance in enumerate(at_least(total, half, failed).tolist()):
        if 2 * chance <= level:
            return k if k <= half else None
    return None


def _region(table: _Table) -> Region | None:
    """The side or option whose share of the failed exceeds its share of the rest most (Youden 1950)."""
    others = table.counts - table.marked
    if not table.marked.any() or not others.any():
        return None
    excess = table.marked / table.marked.sum() - others / others.sum()
    if isinstance(table.distribution, Choice):
        at = int(np.argmax(excess))
        return Region(Side.IS, table.values[at], int(table.marked[at]), int(table.counts[at]))
    above = rank_sum(table.counts, table.marked)[2] >= 0
    inside = -np.cumsum(excess)[:-1] if above else np.cumsum(excess)[:-1]
    at = int(np.argmax(np.round(inside, 9))) + 1  # the cut lies below values[at]
    threshold = readable(float(table.values[at - 1]), float(table.values[at]), table.distribution, above)
    part = slice(at, None) if above else slice(0, at)
    side = Side.ABOVE if above else Side.BELOW
    return Region(side, threshold, int(table.marked[part].sum()), int(table.counts[part].sum()))


def readable(low: float, high: float, distribution: Float | Int, above: bool) -> float | int:
    """The number with fewest digits that parts two neighbouring values, near the middle between them.

    Above: low <= it < high, for "larger than it". Below: low < it <= high, for "smaller than it".
    """
    middle = low / 2 + high / 2
    if distribution.log and low > 0:
        middle = math.sqrt(low) * math.sqrt(high)
    whole = isinstance(distribution, Int)
    edge = low if above else high
    for digits in range(17):  # 17 digits tell any two floats apart
        for candidate in (float(f"{middle:.{digits}e}"), float(f"{edge:.{digits}e}")):
            parts = low <= candidate < high if above else low < candidate <= high
            if parts and (not whole or candidate.is_integer()):
                return int(candidate) if whole else candidate
    return edge
