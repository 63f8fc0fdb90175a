"""Between a distribution and the numbers from 0 to 1: uniform numbers become uniform draws on its scale, and back."""

from __future__ import annotations

import math
from typing import Any

from .space import Choice, Distribution, Float, Int, frozen, plain


def value_at(distribution: Distribution, u: float) -> Any:
    """The value at `u` in [0, 1), as JSON holds it. Discrete values have equal shares of the unit interval."""
    match distribution:
        case Choice(options):
            return plain(options[min(int(u * len(options)), len(options) - 1)])
        case Int(low, high, True, _):
            # Each whole number k has the share of [k - 1/2, k + 1/2] on the log scale, as in Optuna.
            value = math.exp(_between(math.log(low - 0.5), math.log(high + 0.5), u))
            return min(high, max(low, round(value)))
        case Int(low, high, _, step):
            count = (high - low) // step + 1
            return low + step * min(int(u * count), count - 1)
        case Float(low, high, True, _):
            return min(high, max(low, math.exp(_between(math.log(low), math.log(high), u))))
        case Float(low, high, _, None):
            return min(high, max(low, _between(low, high, u)))
        case Float():
            return distribution.at_step(min(int(u * (distribution.steps + 1)), distribution.steps))


def position_of(distribution: Distribution, value: Any) -> float | None:
    """Where a value lies in [0, 1], in the middle of its share where it is discrete; None where it lies outside."""
    match distribution:
        case Choice(options):
            held = frozen(value)
            return (options.index(held) + 0.5) / len(options) if held in options else None
        case Float(low, high, _, _) | Int(low, high, _, _):
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                return None
    match distribution:
        case Int(low, high, True, _):
            return _share(math.log(low - 0.5), math.log(high + 0.5), math.log(value))
        case Int(low, high, _, step):
            return ((value - low) // step + 0.5) / ((high - low) // step + 1)
        case Float(low, high, True, _):
            return _share(math.log(low), math.log(high), math.log(value))
        case Float(low, high, _, None):
            return _share(low, high, value)
        case Float():
            k = distribution.step_of(float(value))
            return None if k is None else (k + 0.5) / (distribution.steps + 1)


def count_of(distribution: Distribution) -> int | None:
    """How many values there are; None for a range of real numbers."""
    match distribution:
        case Choice(options):
            return len(options)
        case Int(low, high, _, step):
            return (high - low) // step + 1
        case Float(_, _, _, None):
            return None
        case Float():
            return distribution.steps + 1


def _share(low: float, high: float, value: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _between(low: float, high: float, u: float) -> float:
    return low + u * (high - low)
