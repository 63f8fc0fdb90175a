"""Scientific choices compared, in sentences.

kind, the others tuned with 12 trials for each: attention reaches 0.31 or better half of the time (95 % band:
0.28 to 0.36; 52 trials), conv 0.35 (0.31 to 0.4; 48 trials)
attention beats conv in 83 % of such pairs (p = 0.01 after correction)
"""

from __future__ import annotations

import math
from typing import Any

from ..analysis.draws import Obstacle
from ..analysis.scientific import FEWEST, Arm, Comparison, Question, scientific
from ..study.snapshot import Snapshot
from .words import number, one_line, p_value, parameter, plural

WHY = {
    Obstacle.FILTERED: "no comparison in a part: a filter chooses trials, so they are no independent draws",
    Obstacle.CHANGED: "no comparison: the space was changed, so the values were not tuned over the same",
    Obstacle.LEARNS: "no comparison: this sampler learns from earlier trials, and tunes some values more than others",
    Obstacle.SPREAD: "no comparison: this sampler spreads trials evenly, so they are not independent draws",
    Obstacle.UNKNOWN: "no comparison: nothing says how these trials were drawn; it needs independent draws",
    Obstacle.TOO_FEW: "too few trials to compare scientific choices",
}

Found = tuple[Question, ...] | Obstacle


def find(snapshot: Snapshot) -> Found | None:
    """None where the search file has no hyperparameter with role = "scientific"."""
    return scientific(snapshot)


def sentences(found: Found) -> tuple[str, ...]:
    """For each scientific hyperparameter: what its values reach, and which of them can be told apart."""
    if isinstance(found, Obstacle):
        return (WHY[found],)
    return tuple(text for question in found for text in _question(question))


def _question(question: Question) -> list[str]:
    name = one_line(question.name)
    few = ", ".join(parameter(value) for value in question.too_few)
    if question.best is None:
        return [f"too few trials to compare values of {name}: it takes {FEWEST} of each of two"]
    arms = [question.best, *(c.arm for c in question.others)]
    reached = "; ".join(_reaches(arm, not place) for place, arm in enumerate(arms))
    said = [f"{name}, the others tuned with {plural(question.budget, 'trial')} for each value: {reached}"]
    said += [_compared(question.best, comparison) for comparison in question.others]
    return [*said, f"too few trials of {name} = {few}: it takes {FEWEST}"] if few else said


def _reaches(arm: Arm, first: bool) -> str:
    of = f"{plural(arm.trials, 'trial')}{f', {arm.failed} not finished' if arm.failed else ''}"
    if math.isinf(arm.point.median):
        return f"{_name(arm)} ends without a finished trial more than half of the time ({of})"
    verb = "reaches" if first else "has"
    half = " or better half of the time" if first else ""
    return f"{_name(arm)} {verb} {number(arm.point.median)}{half} (95 % band {_band(arm)}; {of})"


def _band(arm: Arm) -> str:
    good = "better than any so far" if math.isinf(arm.point.good) else number(arm.point.good)
    bad = "none finished" if math.isinf(arm.point.bad) else number(arm.point.bad)
    return f"{good} to {bad}"


def _compared(best: Arm, comparison: Comparison) -> str:
    pair = f"{_name(best)} beats {_name(comparison.arm)} in {round(100 * comparison.beaten)} % of such pairs"
    if not comparison.told:
        return f"{pair}, which can't be told from chance"
    return f"{pair} ({p_value(comparison.corrected)} after correction)"


def _name(arm: Arm) -> str:
    return (
        parameter(arm.low) if _same(arm.low, arm.high) else f"{parameter(arm.low)} to {parameter(arm.high)}"
    )


def _same(low: Any, high: Any) -> bool:
    return low is high or low == high
