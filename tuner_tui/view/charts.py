"""From a snapshot to scatterplots as values: the position of every mark, not yet drawn.

One scatter for each hyperparameter, in the order of the search file, all with the same loss axis. Every trial
that has the hyperparameter is in its panel, however it ended: what crashed is as much a result as what did
not. This file knows no characters, no colours and no sizes.

Positions are what a linear drawing needs: the logarithm is taken here, options are 0, 1, 2, ..., and every
mark lies within the limits of its axes. `loss.py` says how the loss axis is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import compress
from typing import Any, Literal, NamedTuple

from ..search.space import Choice, Distribution, Float, Hyperparameter, Int
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .axes import Axes, Spacing
from .loss import Edge, LossScale, loss_scale
from .ticks import LARGEST, SMALLEST, Ladder, Tick, linear_ladder, log_ladder, usual
from .words import parameter

Kind = Literal["finished", "unfinished", "no_start", "running"]
Scale = Literal["linear", "log", "categorical"]  # others of a loss axis are linear in their positions

MARGIN = 0.03  # of the range, on both sides: a point on the border is still a whole point
LABEL_CHARS = 200  # of an option; whoever draws cuts it to the room there is
FEW_INTEGERS = 20  # up to so many, each integer has a place of its own, like an option


# Named tuples, not dataclasses: 12 panels of 10,000 trials are made and compared a few times a second.
class Mark(NamedTuple):
    """One trial in one panel, in the coordinates of its axes."""

    trial: int
    kind: Kind
    x: float
    y: float | None  # None: never started, a line over the whole height
    diverged: bool = False  # y is its last finite loss
    edge: Edge = ""  # "high" or "low": the loss lies beyond that end of the axis, y is the end
    best: bool = False
    infinite: bool = False  # after y came nan or infinity
    before: bool = False  # another study ran it, before this one


@dataclass(frozen=True)
class Axis:
    """A labelled axis: its scale, its limits and its ticks."""

    label: str
    scale: Scale
    low: float
    high: float
    ticks: tuple[Tick, ...]
    ladder: Ladder = ()  # sets of ticks from coarse to fine; `ticks` is one of them
    step: float = 0.0  # between places, when the axis has few: a crowd may be spread out between them
    under: bool = (
        False  # whether some trials lie beyond its ends: they have a row (a column) of their own there
    )
    over: bool = False


@dataclass(frozen=True)
class Scatter:
    """One panel. Equal snapshots give equal scatters, so a panel is dirty when its scatter differs."""

    name: str  # of the hyperparameter
    group: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    absent: int = 0  # trials in which this hyperparameter had no value it could be drawn at
    crowds: tuple[tuple[Outcome, str], ...] = ()  # failures that crowd, and a sign of where (view/panels.py)
    # The cells (cells.py) its marks have been drawn in, by columns and rows; a copy with other words shares them.
    reductions: dict[tuple[int, int], Any] = field(default_factory=dict, compare=False, repr=False)
    # Finished trial -> its loss, smaller is better, whatever the y axis is. All panels share it.
    losses: Mapping[int, float] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def crashes(self) -> bool:
        """Whether some trial of this panel never started."""
        return any(mark.y is None for mark in self.marks)

    @cached_property
    def beyond(self) -> tuple[int, int]:
        """How many trials lie below and above the y axis; a loss that went to infinity counts as above."""
        below = sum(mark.edge == "low" for mark in self.marks)
        return below, sum(mark.edge == "high" or mark.infinite for mark in self.marks)

    @property
    def counts(self) -> dict[Kind, int]:
        """How many marks there are of each kind."""
        tally: dict[Kind, int] = {"finished": 0, "unfinished": 0, "no_start": 0, "running": 0}
        for mark in self.marks:
            tally[mark.kind] += 1
        return tally


def scatters(
    snapshot: Snapshot, axes: Axes | None = None, losses: LossScale | None = None
) -> tuple[Scatter, ...]:
    """One scatter for each hyperparameter of the search; none when no search is known yet.

    `losses`: what `loss_scale(snapshot, axes)` gives, for who has it already.
    """
    axes = axes or Axes()
    losses = losses or loss_scale(snapshot, axes)
    best = snapshot.best.number if snapshot.best else None
    trials = list(snapshot.trials.values())
    # A trial that runs and has no loss yet is in no panel: there is nothing to say about it.
    silent = [t for t in trials if t.running and t.value is None]
    shown = [t for t in trials if not t.running or t.value is not None] if silent else trials
    if axes.measurement:  # what has a loss but not this measurement has no height here
        shown = [t for t in shown if t.value is None or axes.value(t) is not None]
    heights = _Heights.of(shown, losses, best, axes)
    y = loss_axis(axes.measurement or snapshot.objective, losses)
    without = len(trials) - len(silent) - len(shown)
    sign = snapshot.search.sign
    values = {
        t.number: sign * t.value for t in shown if t.outcome is Outcome.FINISHED and t.value is not None
    }
    return tuple(
        _scatter(hyperparameter, y, shown, silent, without, heights, axes.x, values)
        for hyperparameter in snapshot.space
    )


def loss_axis(objective: str, losses: LossScale) -> Axis:
    """The axis that all panels of a study share."""
    scale = "log" if losses.scale == "log" else "linear"
    return Axis(
        objective, scale, losses.low, losses.high, usual(losses.ladder), losses.ladder, under=losses.under,
        over=losses.over,
    )  # fmt: skip


class _Heights(NamedTuple):
    """What is the same in every panel, a column for each field of Mark but x."""

    trials: list[int]
    kinds: list[Kind]
    ys: list[float | None]
    diverged: list[bool]
    edges: list[Edge]
    best: list[bool]
    infinite: list[bool]
    before: list[bool]

    @classmethod
    def of(cls, trials: list[Trial], losses: LossScale, best: int | None, axes: Axes) -> _Heights:
        kinds: list[Kind] = [_kind(trial) for trial in trials]
        places = [
            losses.place(value) if kind != "no_start" and (value := axes.value(t)) is not None else _LINE
            for t, kind in zip(trials, kinds, strict=True)
        ]
        return cls(
            [trial.number for trial in trials],
            kinds,
            [y for y, _ in places],
            [t.diverged and y is not None for t, (y, _) in zip(trials, places, strict=True)],
            [edge for _, edge in places],
            [trial.number == best for trial in trials],
            [t.not_a_number and y is not None for t, (y, _) in zip(trials, places, strict=True)],
            [bool(trial.source) for trial in trials],
        )


_LINE: tuple[None, Edge] = (None, "")


def _kind(trial: Trial) -> Kind:
    if trial.outcome is None:
        return "running"
    if trial.value is None:
        return "no_start"  # whatever its end is called: without a loss it has no height
    match trial.outcome:
        case Outcome.FINISHED:
            return "finished"
        case Outcome.UNFINISHED:
            return "unfinished"
        case _:
            return "no_start"


def _scatter(
    hyperparameter: Hyperparameter,
    y: Axis,
    shown: list[Trial],
    silent: list[Trial],
    without: int,
    heights: _Heights,
    spacing: Spacing,
    losses: Mapping[int, float],
) -> Scatter:
    name, distribution = hyperparameter.name, hyperparameter.distribution
    values = [trial.params.get(name, _ABSENT) for trial in shown]
    if any(heights.before):
        distribution = _covering(distribution, compress(values, heights.before))
    if isinstance(distribution, Choice):
        options, xs = _option_places(values, distribution.options)
        x = _categorical_axis(name, options)
    else:
        x = _numeric_axis(name, distribution, spacing)
        xs = _number_places(values, x)
    columns = zip(
        heights.trials, heights.kinds, xs, heights.ys, heights.diverged, heights.edges, heights.best,
        heights.infinite, heights.before, strict=True,
    )  # fmt: skip
    if None in xs:
        columns = compress(columns, [place is not None for place in xs])
    marks = tuple(map(_mark, columns))
    waiting = sum(name not in trial.params for trial in silent)
    absent = len(shown) - len(marks) + waiting + without
    return Scatter(name, hyperparameter.group, x, y, marks, absent, losses=losses)


_ABSENT = object()
_mark = partial(tuple.__new__, Mark)  # Mark._make without its check: half the time of all scatters went there


def _covering(distribution: Distribution, values: Iterable[Any]) -> Distribution:
    """The distribution, with a range that holds these values: another study's space may have been wider."""
    if isinstance(distribution, Choice):
        return distribution  # `_option_places` adds what it lacks
    numbers = [v for v in values if isinstance(v, (int, float)) and -LARGEST <= v <= LARGEST]
    if distribution.log:
        numbers = [v for v in numbers if v > 0]
    low, high = min(numbers, default=distribution.low), max(numbers, default=distribution.high)
    if isinstance(distribution, Int):
        low, high = math.floor(low), math.ceil(high)
    return replace(distribution, low=min(low, distribution.low), high=max(high, distribution.high))


def _number_places(values: list[Any], axis: Axis) -> Sequence[float | None]:
    """Where numbers stand; at the end of the axis when an older search had a wider range."""
    try:  # the usual case, several times faster: plain numbers inside the range
        places = [math.log10(v) for v in values] if axis.scale == "log" else [v + 0.0 for v in values]
        if not places or (
            axis.low <= min(places) and max(places) <= axis.high and math.isfinite(sum(places))
        ):
            return places
    except (TypeError, ValueError, OverflowError):
        pass
    return [_number_place(value, axis) for value in values]


def _number_place(value: Any, axis: Axis) -> float | None:
    if not isinstance(value, (int, float)) or value != value:
        return None
    place = min(max(value, -LARGEST), LARGEST)
    if axis.scale == "log":
        place = math.log10(place) if place > 0 else axis.low
    return float(min(max(place, axis.low), axis.high))


def _option_places(values: list[Any], options: Iterable[Any]) -> tuple[list[str], list[float | None]]:
    """Labels in the order of the search, and where values stand among them.

    Values that only an older search had get places of their own, behind the others.
    """
    places: dict[Any, float] = {}
    labels: list[str] = []
    for option in options:
        if (key := _key(option)) not in places:
            places[key] = float(len(labels))
            labels.append(parameter(option, LABEL_CHARS))
    found: list[float | None] = []
    for value in values:
        if value is _ABSENT:
            found.append(None)
            continue
        if (key := _key(value)) not in places:
            places[key] = float(len(labels))
            labels.append(parameter(value, LABEL_CHARS))
        found.append(places[key])
    return labels or [""], found


def _numeric_axis(name: str, distribution: Float | Int, spacing: Spacing) -> Axis:
    whole = isinstance(distribution, Int)
    low, high = (float(min(max(v, -LARGEST), LARGEST)) for v in (distribution.low, distribution.high))
    log = distribution.log if spacing is Spacing.USUAL else spacing is Spacing.LOG
    if log and low > 0:
        low, high = math.log10(low), math.log10(high)
        margin = (high - low) * MARGIN or 0.5
        low, high = low - margin, high + margin
        ladder = log_ladder(low, high)
        return Axis(name, "log", low, high, usual(ladder), ladder)
    if high - low < SMALLEST:
        high = low
    margin = (high - low) * MARGIN or (0.5 if whole else max(abs(low) * 0.1, 0.1))
    step = 0.0 if high > low else 2 * margin
    if isinstance(distribution, Int) and high - low < FEW_INTEGERS * distribution.step:
        step = float(distribution.step)
        margin = step / 2
    # Ticks stand only where values can be drawn: a batch size of 0 on the axis would be an untruth.
    ladder = linear_ladder(low, high, whole=whole)
    return Axis(name, "linear", low - margin, high + margin, usual(ladder), ladder, step)


def _categorical_axis(name: str, options: list[str]) -> Axis:
    ticks = tuple(Tick(float(place), label) for place, label in enumerate(options))
    return Axis(name, "categorical", -0.5, len(options) - 0.5, ticks, (ticks,), 1.0)


def _key(value: Any) -> Any:
    """Equal for equal options: the journal returns tuples as lists; True is not 1, but 1 is 1.0."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_key(item) for item in value)
    if isinstance(value, (int, float)) and value == value:
        return (isinstance(value, bool), value)
    return repr(value)
