"""From a part of a panel's x axis to the filter that lets just those trials through."""

from __future__ import annotations

from ..analysis.filter import condition, one_of
from .charts import Scatter


def brushed(scatter: Scatter, low: float, high: float) -> str:
    """A condition for what lies between two positions on the x axis; "" where that is nothing."""
    axis = scatter.x
    if axis.scale == "categorical":
        options = [tick.label for tick in axis.ticks if low <= tick.position <= high]
        return one_of(scatter.name, options) if options else ""
    ends = sorted((max(low, axis.low), min(high, axis.high)))
    return condition(scatter.name, *(10**end if axis.scale == "log" else end for end in ends))
