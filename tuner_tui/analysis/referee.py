"""The checks of a search that Google's Deep Learning Tuning Playbook asks for before its result is believed.

Godbole, Dahl, Gilmer, Shallue & Nado (github.com/google-research/tuning_playbook, "Extracting insight from experiment
results") list them as questions for the eye. Here each is a test with a stated chance of a false alarm, so that a
search in which nothing is wrong has all of its cards at PASS in most cases, and a card at LOOK is worth the look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..search.search import RATE_FINDER
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .ahead import Ahead, ahead
from .crash_bias import SAYS_NOTHING, Bias, FailureBias, crash_bias
from .crash_bias import Verdict as Strength
from .crowding import Crowd, crowds
from .draws import Obstacle, counted, obstacle_of
from .late_training import LateTraining, Sign, late_training

LEVEL = 0.05  # the chance of a false alarm of each card
MANY = 1 / 3  # failed trials: every two that finish cost a third one
LARGE = 0.1  # of the value: ten times what is worth a look


class Verdict(StrEnum):
    """What a card says."""

    PASS = "PASS"  # it was looked for and not found
    LOOK = "LOOK"  # more than chance explains; it may be right all the same
    FIX = "FIX"  # the search, or the training, is likely to be wrong
    OPEN = "OPEN"  # it can't be said yet


class Check(StrEnum):
    """The questions, in the order of the cards."""

    BORDER = "border"
    POINTS = "points"
    FAILURES = "failures"
    OVERFITTING = "overfitting"
    NOISE = "noise"
    IMPROVING = "improving"
    SATURATED = "saturated"
    RISING = "rising"


@dataclass(frozen=True)
class Failures:
    """`failed` of `trials` did not finish. `biased`: where they crowd; `edges`: such at which the best trials lie."""

    failed: int
    trials: int
    many: bool  # more than MANY of all draws, told from chance
    testable: bool  # whether it would show if they crowded
    biased: tuple[tuple[FailureBias, Bias], ...]
    edges: tuple[Crowd, ...]


Evidence = tuple[Crowd, ...] | Ahead | Failures | Sign | Obstacle | None


@dataclass(frozen=True)
class Card:
    """One question with its answer and what it rests on; None where too few trials have what it asks for."""

    check: Check
    verdict: Verdict
    evidence: Evidence


@dataclass(frozen=True)
class Referee:
    """All cards, and the trials whose learning curves were looked at."""

    cards: tuple[Card, ...]
    best: tuple[Trial, ...]
    of_spread: bool  # one per cent is of the distance between quartiles, not of the value

    def card(self, check: Check) -> Card:
        """The card of a question."""
        return next(card for card in self.cards if card.check is check)


def referee(snapshot: Snapshot) -> Referee | None:
    """None before a second trial has ended, and for a rate finder."""
    ended = [trial for trial in snapshot.own.trials.values() if trial.outcome is not None]
    if len(ended) < 2 or snapshot.search.kind == RATE_FINDER:
        return None
    obstacle = obstacle_of(snapshot)
    found = () if obstacle else crowds(snapshot)
    late = late_training(snapshot)
    cards = (
        _border(obstacle, found), _points(ahead(snapshot)), _failures(snapshot, found),
        _signed(Check.OVERFITTING, late.overfitting, large=True), _signed(Check.NOISE, late.noisy),
        _signed(Check.IMPROVING, late.improving), _signed(Check.SATURATED, late.saturated), _rising(late),
    )  # fmt: skip
    return Referee(cards, late.best, late.of_spread)


def _border(obstacle: Obstacle | None, found: Sequence[Crowd]) -> Card:
    found = [crowd for crowd in found if crowd.testable and not crowd.frontier]
    if obstacle or not found:
        return Card(Check.BORDER, Verdict.OPEN, obstacle)
    told = tuple(crowd for crowd in found if crowd.told)
    if not told:
        return Card(Check.BORDER, Verdict.PASS, tuple(found))
    most = any(2 * crowd.inside > crowd.best for crowd in told)
    return Card(Check.BORDER, Verdict.FIX if most else Verdict.LOOK, told)


def _points(found: Ahead | Obstacle | None) -> Card:
    if not isinstance(found, Ahead):
        return Card(Check.POINTS, Verdict.OPEN, found)
    return Card(Check.POINTS, Verdict.LOOK if found.told else Verdict.PASS, found)


def _failures(snapshot: Snapshot, found: Sequence[Crowd]) -> Card:
    told = [trial for trial in counted(snapshot) if trial.reason not in SAYS_NOTHING]
    if not told:
        return Card(Check.FAILURES, Verdict.OPEN, None)
    failed = sum(trial.outcome is not Outcome.FINISHED for trial in told)
    # Half of LEVEL for the share, a quarter of it for where each of the two kinds of failure crowds.
    many = _at_least(failed, len(told), MANY) <= LEVEL / 2
    kinds = crash_bias(snapshot).kinds
    biased = tuple((kind, bias) for kind in kinds for bias in kind.biased if bias.corrected <= LEVEL / 4)
    testable = not failed or any(kind.failed and kind.verdict is not Strength.TOO_FEW for kind in kinds)
    edges = tuple(crowd for crowd in found if crowd.told and crowd.frontier)
    passed = Verdict.PASS if testable else Verdict.OPEN
    verdict = Verdict.FIX if edges else Verdict.LOOK if many or biased else passed
    return Card(Check.FAILURES, verdict, Failures(failed, len(told), many, testable, biased, edges))


def _signed(check: Check, sign: Sign | None, large: bool = False) -> Card:
    if sign is None or sign.needed > sign.of:
        return Card(check, Verdict.OPEN, sign)
    if not sign.told:
        return Card(check, Verdict.PASS, sign)
    return Card(check, Verdict.FIX if large and sign.size > LARGE else Verdict.LOOK, sign)


def _rising(late: LateTraining) -> Card:
    card = _signed(Check.RISING, late.rising)
    return Card(card.check, Verdict.FIX, card.evidence) if card.verdict is Verdict.LOOK else card


def _at_least(many: int, of: int, share: float) -> float:
    """The chance of at least `many` of `of` when each has the chance `share`."""
    logs = [math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * math.log(share)
            + (of - k) * math.log1p(-share) for k in range(many, of + 1)]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))
