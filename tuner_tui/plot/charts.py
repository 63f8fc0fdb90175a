"""From a snapshot to scatterplots: what stands where, before any ink.

One scatter for each hyperparameter, in the order of the search file, all with the same loss axis. Every trial
that has the hyperparameter is in its panel, however it ended: what crashed is as much a result as what did
not. This file knows no characters, no colours and no sizes.

Positions are what a linear drawing needs: the logarithm is taken here, options are 0, 1, 2, ..., and every
mark lies within the limits of its axes. `loss.py` says how the loss axis is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..search.search import space_from_json
from ..search.space import Choice, Float, Hyperparameter, Int
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .loss import Edge, LossScale, loss_scale
from .ticks import LARGEST, Ladder, Tick, linear_ladder, log_ladder, usual

Kind = Literal["finished", "unfinished", "no_start", "running"]
Scale = Literal["linear", "log", "categorical"]

MARGIN = 0.03  # of the range, on both sides: a point on the border is still a whole point
FEW_INTEGERS = 20  # up to so many, each integer has a place of its own, like an option


# Named tuples, not dataclasses: 12 panels of 10,000 trials are made and compared a few times a second.
class Mark(NamedTuple):
    trial: int
    kind: Kind
    x: float
    y: float | None  # None: never started, a line over the whole height
    diverged: bool = False  # its last loss was nan or infinite; y is the last finite one
    edge: Edge = ""  # "high" or "low": the loss lies beyond that end of the axis, y is the end
    best: bool = False


@dataclass(frozen=True)
class Axis:
    label: str
    scale: Scale
    low: float
    high: float
    ticks: tuple[Tick, ...]
    ladder: Ladder = ()  # sets of ticks from coarse to fine; `ticks` is one of them
    step: float = 0.0  # between places, when the axis has few: a crowd may be spread out between them


@dataclass(frozen=True)
class Scatter:
    """One panel. Equal snapshots give equal scatters, so a panel is dirty when its scatter differs."""

    name: str  # of the hyperparameter
    group: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    absent: int = 0  # trials in which this hyperparameter had no value it could be drawn at

    @property
    def counts(self) -> dict[Kind, int]:
        tally: dict[Kind, int] = {"finished": 0, "unfinished": 0, "no_start": 0, "running": 0}
        for mark in self.marks:
            tally[mark.kind] += 1
        return tally


def scatters(snapshot: Snapshot) -> tuple[Scatter, ...]:
    """One scatter for each hyperparameter of the search; none when no search is known yet."""
    space = space_from_json(snapshot.search.get("space") or [])
    trials = list(snapshot.trials.values())
    losses = loss_scale(snapshot)
    y = Axis(
        snapshot.objective, "log" if losses.log else "linear", losses.low, losses.high,
        usual(losses.ladder), losses.ladder,
    )  # fmt: skip
    best = snapshot.best
    heights = [_height(trial, losses, best is not None and trial.number == best.number) for trial in trials]
    return tuple(_scatter(hyperparameter, y, trials, heights) for hyperparameter in space)


class _Height(NamedTuple):
    """What of a mark is the same in every panel."""

    kind: Kind
    y: float | None
    diverged: bool
    edge: Edge
    best: bool


def _height(trial: Trial, losses: LossScale, best: bool) -> _Height | None:
    """None while a trial runs and has no loss yet: there is nothing to say about it."""
    if trial.value is None or trial.outcome is Outcome.NO_START:
        return None if trial.running else _Height("no_start", None, False, "", False)
    kind: Kind = "running"
    if trial.outcome is Outcome.FINISHED:
        kind = "finished"
    elif trial.outcome is Outcome.UNFINISHED:
        kind = "unfinished"
    y, edge = losses.place(trial.value)
    return _Height(kind, y, trial.not_a_number, edge, best)


def _scatter(
    hyperparameter: Hyperparameter, y: Axis, trials: list[Trial], heights: list[_Height | None]
) -> Scatter:
    name, distribution = hyperparameter.name, hyperparameter.distribution
    marks: list[Mark] = []
    absent = 0
    if isinstance(distribution, Choice):
        options = _options(distribution.options, (t.params[name] for t in trials if name in t.params))
        x = _categorical_axis(name, options)
        places = {key: float(place) for place, key in enumerate(options)}
    else:
        x = _numeric_axis(name, distribution)
        places = {}
    low, high, log = x.low, x.high, x.scale == "log"
    for trial, height in zip(trials, heights, strict=True):
        value = trial.params.get(name, _ABSENT)
        place = places.get(_key(value)) if places else _number_place(value, low, high, log)
        if value is _ABSENT or place is None:
            absent += 1
        elif height is not None:
            marks.append(Mark(trial.number, height[0], place, *height[1:]))
    return Scatter(name, hyperparameter.group, x, y, tuple(marks), absent)


_ABSENT = object()


def _number_place(value: Any, low: float, high: float, log: bool) -> float | None:
    """Where a number stands; at the end of the axis when an older search had a wider range."""
    if not isinstance(value, (int, float)) or math.isnan(value):
        return None
    if log:
        place = math.log10(min(value, LARGEST)) if value > 0 else low
    else:
        place = min(max(value, -LARGEST), LARGEST)
    return float(min(max(place, low), high))


def _numeric_axis(name: str, distribution: Float | Int) -> Axis:
    whole = isinstance(distribution, Int)
    low, high = (float(min(max(v, -LARGEST), LARGEST)) for v in (distribution.low, distribution.high))
    if distribution.log and low > 0:
        low, high = math.log10(low), math.log10(high)
        margin = (high - low) * MARGIN or 0.5
        low, high = low - margin, high + margin
        ladder = log_ladder(low, high)
        return Axis(name, "log", low, high, usual(ladder), ladder)
    margin = (high - low) * MARGIN or (0.5 if whole else max(abs(low) * 0.1, 0.1))
    step = 0.0 if high > low else 2 * margin
    if isinstance(distribution, Int) and high - low < FEW_INTEGERS * distribution.step:
        step = float(distribution.step)
        margin = step / 2
    # Ticks stand only where values can be drawn: a batch size of 0 on the axis would be an untruth.
    ladder = linear_ladder(low, high, whole=whole)
    return Axis(name, "linear", low - margin, high + margin, usual(ladder), ladder, step)


def _categorical_axis(name: str, options: dict[Any, str]) -> Axis:
    ticks = tuple(Tick(float(place), label) for place, label in enumerate(options.values()))
    return Axis(name, "categorical", -0.5, len(options) - 0.5, ticks, (ticks,), 1.0)


def _options(options: Iterable[Any], seen: Iterable[Any]) -> dict[Any, str]:
    """Key -> label, in the order of the search; values only an older search had come behind."""
    labels: dict[Any, str] = {}
    for value in (*options, *seen):
        labels.setdefault(_key(value), _label(value))
    return labels or {_key(""): ""}


def _key(value: Any) -> Any:
    """Equal for equal options: the journal returns tuples as lists; True is not 1, but 1 is 1.0."""
    if isinstance(value, (list, tuple)):
        return tuple(_key(item) for item in value)
    if isinstance(value, (int, float, str)):
        return (isinstance(value, bool), value)
    return repr(value)


def _label(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(_label(item) for item in value) or "()"
    return number_label(value) if isinstance(value, float) else str(value)


def number_label(value: float) -> str:
    return f"{value:g}"
