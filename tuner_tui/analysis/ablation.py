"""The path from the defaults to the best trial of a study: what each hyperparameter on it changes, with real runs.

One hyperparameter after the other takes its value of the best trial, the one that explains most of the losses of the
sweep first; one whose condition holds only then comes along with the one it depends on. Each point of the path is run
with several seeds. What a step brings depends on the steps before it: another order gives other steps, with the same
ends. (Fawcett & Hoos, Analysing differences between algorithm configurations through ablation, J. Heuristics 2016,
try every hyperparameter at each step; that takes quadratically many runs, or a surrogate.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..search.again import Point
from ..search.search import ABLATION, Search
from ..search.space import Hyperparameter
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from .effect import effects
from .means import Interval, difference, holm, interval

FEWEST = 2  # runs of a point that finished


@dataclass(frozen=True)
class Step:
    """One point of the path. `gain`: how much better than the point before, positive is better; None where one of the
    two has too few runs. `apart`: the gain is more than the noise between seeds explains."""

    point: Point
    values: tuple[float, ...]  # of the runs that finished
    failed: int
    gain: Interval | None = None
    apart: bool = False

    @property
    def mean(self) -> Interval | None:
        """Of its runs; None where none has finished."""
        return interval(self.values) if self.values else None


@dataclass(frozen=True)
class Ablation:
    """The path, the defaults first."""

    study: str
    steps: tuple[Step, ...]
    running: int  # runs that have not ended


def path(snapshot: Snapshot, start: Mapping[str, Any], name: str) -> tuple[Point, ...]:
    """The points from `start`, which is called `name`, to the best trial; () where no trial has finished.

    `start` has a value for every hyperparameter of the space that applies there; fixed values are added.
    """
    best, search = snapshot.best, snapshot.search
    if best is None:
        return ()
    known = effects(snapshot)
    names = [h.name for h in search.space]
    order = sorted(search.space, key=lambda h: (-known.get(h.name, 0.0), names.index(h.name)))
    at = _applying(search, {**search.fixed, **start})
    points = [Point(name, at)]
    for h in order:
        if h.when and h.name not in at:
            continue  # it comes along with what it depends on
        if h.name not in best.params:
            continue  # it goes away with what it depends on
        after = _with(search, at, h, best.params)
        if after != at:
            came = [n for n in names if n in after and n not in at]
            value = after[h.name]
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            label = f"{h.name} = {shown}" + (f" (with {', '.join(came)})" if came else "")
            points.append(Point(label, after))
            at = after
    # What was not there when its turn came has its default of the way; the end is the best trial itself.
    end = dict(best.params)
    if points[-1].params != end:
        rest = [n for n in names if n in end and points[-1].params.get(n) != end[n]]
        points.append(Point(f"the rest: {', '.join(rest)}", end))
    points[-1] = Point(points[-1].label, end, best.number, best.value)
    return tuple(points)


def _with(
    search: Search, at: Mapping[str, Any], h: Hyperparameter, best: Mapping[str, Any]
) -> dict[str, Any]:
    """`at` with the best value of a hyperparameter, and of those that apply only then."""
    changed = {**at, h.name: best[h.name]}
    for _ in search.space:  # conditions may chain
        for other in search.space:
            if other.name not in changed and other.applies(changed) and other.name in best:
                changed[other.name] = best[other.name]
    return _applying(search, changed)


def _applying(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """Without hyperparameters whose condition does not hold."""
    kept = dict(params)
    for _ in search.space:
        for h in search.space:
            if h.name in kept and not h.applies(kept):
                del kept[h.name]
    return kept


def ablation(snapshot: Snapshot) -> Ablation | None:
    """None for a study that ablates none."""
    again, sign = snapshot.search.again, snapshot.search.sign
    if again is None or snapshot.search.kind != ABLATION:
        return None
    steps = [_step(snapshot, at, point) for at, point in enumerate(again.points)]
    pairs = [
        (k, *difference([sign * v for v in before.values], [sign * v for v in after.values]))
        for k, (before, after) in enumerate(pairwise(steps), start=1)
        if min(len(before.values), len(after.values)) >= FEWEST
    ]
    apart = holm({k: p for k, _, p in pairs})
    gains = {k: gain for k, gain, _ in pairs}
    told = [Step(s.point, s.values, s.failed, gains.get(k), k in apart) for k, s in enumerate(steps)]
    return Ablation(again.study, tuple(told), snapshot.counts.running + snapshot.counts.waiting)


def _step(snapshot: Snapshot, at: int, point: Point) -> Step:
    again = snapshot.search.again
    assert again is not None
    runs = [
        t for n, t in sorted(snapshot.trials.items()) if again.point_of(n) == at and n not in snapshot.reruns
    ]
    values: Sequence[float | None] = [t.value for t in runs if t.outcome is Outcome.FINISHED]
    return Step(point, tuple(v for v in values if v is not None), sum(t.failed for t in runs))
