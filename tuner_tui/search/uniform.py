"""Where a number between 0 and 1 lies on a distribution: uniform numbers become uniform draws on its scale."""

from __future__ import annotations

import math
from typing import Any

from .space import Choice, Distribution, Float, Int, plain


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


def _between(low: float, high: float, u: float) -> float:
    return low + u * (high - low)
