"""The grid of a space: every combination of a few values of each hyperparameter, where their conditions hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from .space import Choice, Distribution, Float, Hyperparameter, Int, Space, in_dependency_order, plain

# Nobody waits for more trials than this, and the grid is kept in memory.
LARGEST = 100_000


def values_on_grid(distribution: Distribution, points: int) -> list[Any]:
    """All values where there are at most `points` (of a list, always all), else `points` evenly spaced ones on the
    scale, both ends included; whole numbers that coincide once."""
    match distribution:
        case Choice(options):
            return [plain(option) for option in options]
        case Int(low, high, log, step):
            count = (high - low) // step + 1
            if count <= points:
                return [low + k * step for k in range(count)]
            if log:
                return list(
                    dict.fromkeys(round(x) for x in _spread(math.log(low), math.log(high), points, math.exp))
                )
            return [low + step * round(k * (count - 1) / (points - 1)) for k in range(points)]
        case Float(low, high, True, _):
            return [min(high, max(low, x)) for x in _spread(math.log(low), math.log(high), points, math.exp)]
        case Float(low, high, _, None):
            return [min(high, x) for x in _spread(low, high, points, float)]
        case Float():
            last = distribution.steps
            few = min(points, last + 1)
            return [distribution.at_step(round(k * last / max(1, few - 1))) for k in range(few)]


def _spread(low: float, high: float, points: int, back: Any) -> list[float]:
    return [back(low + (high - low) * k / (points - 1)) for k in range(points)]


def grid(space: Space, fixed: Mapping[str, Any], points: int) -> list[dict[str, Any]]:
    """Every combination, in order, as values that JSON can hold. Raises ValueError for more than LARGEST."""
    order = in_dependency_order(space)
    found: list[dict[str, Any]] = []
    for params in _combinations(order, dict(fixed), points):
        if len(found) == LARGEST:
            raise ValueError(
                f"the grid has more than {LARGEST:,} points; take fewer points or hyperparameters, or another sampler"
            )
        found.append({name: params[name] for name in space.names if name in params})
    return found


def _combinations(
    order: list[Hyperparameter], params: dict[str, Any], points: int
) -> Iterator[dict[str, Any]]:
    if not order:
        yield params
        return
    first, *rest = order
    if not first.applies(params):
        yield from _combinations(rest, params, points)
        return
    for value in values_on_grid(first.distribution, points):
        yield from _combinations(rest, {**params, first.name: value}, points)
