"""The next search after a study: each hyperparameter narrowed, fixed or kept, with what that rests on.

- One that explains the loss (importance.py) keeps the range of the best trials, by default the best quarter of the
  finished ones. Their smallest and largest value lie inside of the range that is good, on average by one gap between
  neighbours at either end (uniform order statistics), so the range is widened by as much. An option is dropped where
  none of the best trials has it and chance alone would rarely do that.
- One that explains little for certain, at most NEGLIGIBLE of the differences in rank with 95 % confidence, is fixed
  at the best trial's value. "Can't be told from chance" is not enough: with few trials that holds for all.
- Regions where failed trials crowd (crash_bias.py) are kept or cut, as a person chooses: the best trials are often at
  their edge.
- Without importance (a sampler that learns, a changed space) every range becomes that of the best trials, and none
  is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ..search.search import Search
from ..search.space import SCIENTIFIC, Choice, Distribution, Float, Hyperparameter, Int, Space, frozen
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .crash_bias import Bias, Region, Side, crash_bias
from .crowding import Crowd, crowds
from .draws import Obstacle, counted, obstacle_of
from .effect import ENOUGH
from .filter import Bounds
from .importance import Importance, Share, importance
from .narrowing import Crashes, Fixed, outwards, within
from .two_groups import at_least

BEST = 0.25  # of the finished trials
FEWEST_BEST = 5  # of the best that have a hyperparameter: the range of fewer is an accident
NEGLIGIBLE = 0.1  # share of the differences in rank, with 95 % confidence
LEVEL = 0.05  # the chance that an option is dropped though it is no worse than the others
ALL = 0.9  # of the range: where the best trials take as much, narrowing it gains nothing


class Why(StrEnum):
    """What decided about a hyperparameter."""

    EFFECT = "effect"  # it explains the loss
    BEST = "best"  # nothing is known of its importance: the range of the best trials
    NEGLIGIBLE = "negligible"  # it explains little for certain
    UNCLEAR = "unclear"  # it may explain something
    FEW = "few"  # fewer than FEWEST_BEST of the best trials have it, or it had one value
    SCIENTIFIC = "scientific"  # its effect is the question of the search
    CONDITIONAL = "conditional"  # negligible, but only some trials have it
    NEEDED = "needed"  # negligible, but others depend on its value
    GONE = "gone"  # no value is left that lets it apply


@dataclass(frozen=True)
class Crash:
    """A region where failed trials crowd. `left`: whether any of it is in the new range; `best_inside` of the `best`
    best trials lie in it."""

    outcome: Outcome
    bias: Bias
    best_inside: int
    best: int
    left: bool


@dataclass(frozen=True)
class Step:
    """What becomes of one hyperparameter; `now` is None for one that no longer applies."""

    hyperparameter: Hyperparameter
    now: Distribution | Fixed | None
    why: Why
    share: Share | None = None
    low: Any = None  # the smallest and largest value of the best trials, of a number
    high: Any = None
    crashes: tuple[Crash, ...] = ()
    border: Crowd | None = None  # the end of the range at which the best trials crowd

    @property
    def changed(self) -> bool:
        """Whether it is not as it was."""
        return self.now != self.hyperparameter.distribution


@dataclass(frozen=True)
class Proposal:
    """The next `search`. The `best` of `finished` trials have `worst` or a better value."""

    search: Search
    steps: tuple[Step, ...]
    best: int
    finished: int
    trials: int
    worst: float
    obstacle: Obstacle | None  # why nothing is known of importance


def proposal(
    snapshot: Snapshot, best: float = BEST, crashes: Crashes = Crashes.KEEP, negligible: float = NEGLIGIBLE
) -> Proposal:
    """`best`: share of the finished trials. Raises ValueError, with a sentence, where nothing can be proposed."""
    search = snapshot.search
    if search.again is not None:
        raise ValueError(f"Its trials were chosen from {search.again.study}: narrow that study.")
    if not search.runs:
        raise ValueError("Nothing says how its trials are run, so no search file can be written for it.")
    if search.suggested:
        raise ValueError("Its hyperparameters are drawn in its own code: narrow their ranges there.")
    trials = counted(snapshot)
    finished = sorted(
        (t for t in trials if t.outcome is Outcome.FINISHED and t.value is not None), key=snapshot.rank
    )
    if len(finished) < ENOUGH:
        raise ValueError(
            f"Too few trials to narrow a search: {len(finished)} finished, and it takes {ENOUGH}."
        )
    chosen = finished[: min(len(finished), max(FEWEST_BEST, math.ceil(best * len(finished))))]
    found = importance(snapshot)
    shares = {share.name: share for share in found.loss} if isinstance(found, Importance) else {}
    obstacle = obstacle_of(snapshot)
    borders = {} if obstacle else {c.name: c for c in crowds(snapshot) if c.told and not c.frontier}
    biases = [(kind.outcome, bias) for kind in crash_bias(snapshot).kinds for bias in kind.biased]
    steps: list[Step] = []
    for h in search.space:
        step = _step(h, search.space, finished, chosen, shares.get(h.name), obstacle is None, negligible)
        step = replace(step, border=borders.get(h.name))
        steps.append(_crashes(step, [b for b in biases if b[1].name == h.name], chosen, crashes))
    steps = _applying(steps, search)
    fixed = {s.hyperparameter.name: s.now.value for s in steps if isinstance(s.now, Fixed)}
    kept = [
        replace(s.hyperparameter, distribution=s.now)
        for s in steps
        if s.now is not None and not isinstance(s.now, Fixed)
    ]
    if not kept:
        raise ValueError("None of its hyperparameters explains the loss: there is nothing left to search.")
    worst = chosen[-1].value
    return Proposal(
        # The draws of trial n follow from seed and n: with the old seed they would repeat the old ones, squeezed.
        replace(search, space=Space(tuple(kept)), fixed={**search.fixed, **fixed}, seed=search.seed + 1),
        tuple(steps), len(chosen), len(finished), len(trials), worst if worst is not None else math.nan, obstacle,
    )  # fmt: skip


def _step(
    h: Hyperparameter,
    space: Space,
    finished: Sequence[Trial],
    chosen: Sequence[Trial],
    share: Share | None,
    known: bool,
    negligible: float,
) -> Step:
    """`known`: whether importance can be asked at all."""
    values = [t.params[h.name] for t in chosen if h.name in t.params]
    if h.role == SCIENTIFIC:
        return Step(h, h.distribution, Why.SCIENTIFIC, share)
    if len(values) < FEWEST_BEST or (known and share is None):
        return Step(h, h.distribution, Why.FEW, share)
    if share is not None and not share.told:
        if share.at_most > negligible:
            return Step(h, h.distribution, Why.UNCLEAR, share)
        if h.when:
            return Step(h, h.distribution, Why.CONDITIONAL, share)
        if any(other == h.name for one in space for other, _ in one.when):
            return Step(h, h.distribution, Why.NEEDED, share)
        return Step(h, Fixed(values[0]), Why.NEGLIGIBLE, share)
    why = Why.BEST if share is None else Why.EFFECT
    if isinstance(h.distribution, Choice):
        of_all = [t.params[h.name] for t in finished if h.name in t.params]
        return Step(h, _options(h.distribution, of_all, values, drop=share is not None), why, share)
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        return Step(h, h.distribution, Why.FEW, share)
    return Step(h, _range(h, h.distribution, numbers), why, share, min(numbers), max(numbers))


def _range(h: Hyperparameter, distribution: Float | Int, values: Sequence[float]) -> Distribution | Fixed:
    """The range of the values, widened by their mean gap at either end, inside the old one."""
    there = math.log if distribution.log else float
    back = math.exp if distribution.log else float
    ends = (there(distribution.low), there(distribution.high))
    low, high = (min(max(there(value), ends[0]), ends[1]) for value in (min(values), max(values)))
    gap = (high - low) / (len(values) - 1)
    low, high = max(low - gap, ends[0]), min(high + gap, ends[1])
    if high - low >= ALL * (ends[1] - ends[0]):
        return distribution
    lowest = distribution.low if low <= ends[0] else outwards(back(low), math.floor)
    highest = distribution.high if high >= ends[1] else outwards(back(high), math.ceil)
    if isinstance(distribution, Float) and distribution.step:  # stay on the steps of the old range
        lowest = distribution.at_step(math.floor((lowest - distribution.low) / distribution.step + 1e-9))
        over = math.ceil((highest - distribution.low) / distribution.step - 1e-9)
        highest = distribution.at_step(min(distribution.steps, over))
    if isinstance(distribution, Int):
        lowest, highest = math.floor(lowest), math.ceil(highest)
    return within(distribution, Bounds(lowest, highest), h.name)


def _options(
    choice: Choice, of_all: Sequence[Any], of_best: Sequence[Any], *, drop: bool
) -> Distribution | Fixed:
    """Without the options that none of the best trials has, where chance alone would rarely leave one out."""
    kept: list[Any] = []
    for option in choice.options:
        having = sum(frozen(value) == option for value in of_all)
        some = float(at_least(len(of_all), having, len(of_best))[1])  # the chance that one of the best has it
        if any(frozen(v) == option for v in of_best) or not drop or 1 - some > LEVEL / len(choice.options):
            kept.append(option)
    if len(kept) == 1:
        return Fixed(list(kept[0]) if isinstance(kept[0], tuple) else kept[0])
    return Choice(tuple(kept))


def _crashes(
    step: Step, biases: Sequence[tuple[Outcome, Bias]], chosen: Sequence[Trial], crashes: Crashes
) -> Step:
    """The step with what is known of its crash regions, which are taken out where that is wished and possible."""
    name = step.hyperparameter.name
    having = [t.params[name] for t in chosen if name in t.params]
    regions = [(outcome, bias, bias.region) for outcome, bias in biases if bias.region is not None]
    now = step.now
    if crashes is Crashes.CUT:
        if isinstance(now, Fixed):
            outside = [v for v in having if not any(_inside(v, region) for *_, region in regions)]
            now = Fixed(outside[0]) if outside else now
        else:
            for *_, region in regions:
                try:
                    now = (
                        _without(now, region, name) if now is not None and not isinstance(now, Fixed) else now
                    )
                except ValueError:  # all that is left lies in it
                    continue
    found = tuple(
        Crash(outcome, bias, sum(_inside(v, region) for v in having), len(having), _left(now, region))
        for outcome, bias, region in regions
    )
    return replace(step, now=now, crashes=found)


def _without(distribution: Distribution, region: Region, name: str) -> Distribution | Fixed:
    if isinstance(distribution, Choice):
        kept = tuple(option for option in distribution.options if option != frozen(region.value))
        return within(distribution, Bounds(options=kept), name)
    below = region.side is Side.ABOVE
    return within(distribution, Bounds(high=region.value) if below else Bounds(low=region.value), name)


def _inside(value: Any, region: Region) -> bool:
    match region.side:
        case Side.IS:
            return frozen(value) == frozen(region.value)
        case Side.ABOVE:
            return isinstance(value, (int, float)) and value > region.value
        case Side.BELOW:
            return isinstance(value, (int, float)) and value < region.value


def _left(now: Distribution | Fixed | None, region: Region) -> bool:
    match now:
        case None:
            return False
        case Fixed(value):
            return _inside(value, region)
        case Choice(options):
            return any(_inside(option, region) for option in options)
        case _:
            return _inside(now.low, region) or _inside(now.high, region)


def _applying(steps: Sequence[Step], search: Search) -> list[Step]:
    """Conditions on options that are still there; without hyperparameters that can't apply any more."""
    now = {s.hyperparameter.name: s.now for s in steps}
    found: list[Step] = []
    for step in steps:
        when: list[tuple[str, tuple[Any, ...]]] = []
        gone = False
        for other, allowed in step.hyperparameter.when:
            left = now.get(other, Fixed(search.fixed.get(other)))
            kept = tuple(v for v in allowed if _occurs(v, left))
            gone |= not kept
            when.append((other, kept))
        kept_ = replace(step.hyperparameter, when=tuple(when))
        found.append(replace(step, now=None, why=Why.GONE) if gone else replace(step, hyperparameter=kept_))
    return found if found == list(steps) else _applying(found, search)


def _occurs(value: Any, now: Distribution | Fixed | None) -> bool:
    match now:
        case None:
            return False
        case Fixed(only):
            return frozen(only) == value
        case Choice(options):
            return value in options
        case _:
            return now.low <= value <= now.high
