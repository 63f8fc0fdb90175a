"""What a refinement gained: the loss on seeds that were not learned on, before and after `tuner refine`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..study.snapshot import Snapshot

OUTER, TEST = "held", "test"  # what meta/refine.py measures: NAME/before, NAME/after, NAME/drop, NAME/se


@dataclass(frozen=True)
class Gain:
    """Means over the seeds. drop: the share by which it fell; error: the standard error of that."""

    before: float
    after: float
    drop: float
    error: float


@dataclass(frozen=True)
class Refinement:
    """Of the best trial. refines: which trial was the start. test: where the problem has test data."""

    trial: int
    refines: str
    outer: Gain
    test: Gain | None


def refinement(snapshot: Snapshot) -> Refinement | None:
    """None for a study that refines nothing, and before a trial of it has finished."""
    best, refines = snapshot.best, snapshot.search.fixed.get("refines")
    outer = best and _gain(best.latest, OUTER)
    if not best or not outer or not refines:
        return None
    return Refinement(best.number, str(refines), outer, _gain(best.latest, TEST))


def _gain(latest: Mapping[str, float], name: str) -> Gain | None:
    found = [latest.get(f"{name}/{what}", math.nan) for what in ("before", "after", "drop", "se")]
    return Gain(*found) if all(map(math.isfinite, found)) else None
