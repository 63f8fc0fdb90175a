"""A narrower search: the space where a filter's trials lie. What a whole study proposes is in next_search.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ..search.search import Search
from ..search.space import Choice, Distribution, Float, Int, Space, frozen, plain
from ..study.snapshot import Snapshot
from .filter import Bounds, Filter


class Crashes(StrEnum):
    """What becomes of the regions where failed trials crowd in the next search."""

    KEEP = "keep"
    CUT = "cut"


FEWEST = 2  # trials that a filter must leave where it names no hyperparameter: one has no range


def narrowed(part: Snapshot, filter: Filter) -> Search:
    """The search of `part`, narrowed to what the filter demands of its hyperparameters.

    Where it demands nothing of them (`loss < 0.1`), to the smallest ranges and the choices that hold the trials it
    lets through. Raises ValueError, with a sentence, where nothing is left to search.
    """
    search = part.search
    if search.again is not None:
        raise ValueError(f"Its trials were chosen from {search.again.study}: narrow that study.")
    bounds = {h.name: filter.bounds[h.name] for h in search.space if h.name in filter.bounds}
    if not bounds:
        if len(part.trials) < FEWEST:
            raise ValueError("The filter leaves too few trials to search around.")
        bounds = {h.name: around([t.params[h.name] for t in part.trials.values() if h.name in t.params])
                  for h in search.space}  # fmt: skip
    found: list[Any] = []
    fixed = dict(search.fixed)
    for h in search.space:
        distribution = within(h.distribution, bounds[h.name], h.name) if h.name in bounds else h.distribution
        if isinstance(distribution, (Float, Int, Choice)):
            found.append(replace(h, distribution=distribution))
        else:
            fixed[h.name] = distribution.value
    names = {h.name for h in found}
    if not names:
        raise ValueError("The filter leaves one value of each hyperparameter: there is nothing to search.")
    kept = tuple(replace(h, when=tuple((o, v) for o, v in h.when if o in names or o in fixed)) for h in found)
    return replace(search, space=Space(kept), fixed=fixed)


@dataclass(frozen=True)
class Fixed:
    """A single value is left."""

    value: Any


def within(distribution: Distribution, bounds: Bounds, name: str) -> Distribution | Fixed:
    """The part of a distribution inside bounds. Raises ValueError where there is none."""
    match distribution:
        case Choice(options):
            kept = options if bounds.options is None else tuple(o for o in options if o in bounds.options)
            if len(kept) == 0:
                raise ValueError(f"The filter leaves no choice of {name}.")
            return Choice(kept) if len(kept) > 1 else Fixed(plain(next(iter(kept))))
        case Int(low, high, _, step):
            first = low + math.ceil((max(bounds.low, low) - low) / step) * step
            last = math.floor(min(bounds.high, high))
            if first > last:
                raise ValueError(f"The filter leaves no value of {name}.")
            return (
                replace(distribution, low=int(first), high=int(last)) if first < last else Fixed(int(first))
            )
        case Float(low, high, _, step):
            low, high = max(bounds.low, low), min(bounds.high, high)
            if low > high:
                raise ValueError(f"The filter leaves no value of {name}.")
            if low == high:
                return Fixed(low)
            return replace(
                distribution, low=low, high=high, step=step if step and step <= high - low else None
            )


def around(values: Sequence[Any]) -> Bounds:
    """The smallest range, or the choices, that hold the values; a range is widened to three digits."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if not values:
        return Bounds()
    if len(numbers) < len(values):
        return Bounds(options=tuple(dict.fromkeys(frozen(v) for v in values)))
    return Bounds(
        outwards(min(numbers), math.floor), outwards(max(numbers), math.ceil), options=tuple(numbers)
    )


def outwards(value: float, round: Any) -> float:
    """To three significant digits, away from the inside."""
    if not value or isinstance(value, int):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return float(f"{round(value / step) * step:.3g}")
