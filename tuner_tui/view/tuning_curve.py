"""The tuning curve as a picture, and what it says in sentences.

5 trials reach 1.8 or better half of the time (95 % band: 1.3 to 2.4)
24 more trials: 19 % chance to improve by more than 1 %, on average over such searches
in this search the chance is at most 51 % (with 95 % confidence)
the best that this space allows, averaged over seeds: 0.91 to 1.03 (95 % confidence, if values are about quadratic
near the optimum); best so far: 1.02
counted as independent draws: 97 trials; the 57 that did not finish count as the worst
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..analysis.best_possible import BestPossible, Unsaid, best_possible
from ..analysis.draws import Obstacle
from ..analysis.tuning_curve import FEWEST, MARGIN, Outlook, Point, TuningCurve, tuning_curve
from ..study.snapshot import Snapshot
from .best_so_far import WIDEST
from .braille import ACROSS, DOWN, braille
from .cells import place
from .charts import MARGIN as ROOM
from .charts import Axis, Scatter, loss_axis
from .draw import PICTURE_HEIGHT, Line, canvas, draw_cells
from .loss import LossScale, loss_scale
from .signs import FINISHED, RUNNING, Sign
from .ticks import log_ladder, usual
from .words import number, plural

HEIGHT = PICTURE_HEIGHT - 8  # its sentences take up to nine lines, where PICTURE_HEIGHT leaves room for one
SHOWN = 5  # trials, of which a sentence says what they reach: the band has two ends from 47 trials in all

WHY = {
    Obstacle.FILTERED: "no tuning curve of a part: a filter chooses trials, so they are no independent draws",
    Obstacle.CHANGED: "no tuning curve: the space was changed, and trials from different spaces are not comparable",
    Obstacle.LEARNS: "no tuning curve: this sampler learns from earlier trials, so they are not independent draws",
    Obstacle.SPREAD: "no tuning curve: this sampler spreads trials evenly, so they are not independent draws",
    Obstacle.UNKNOWN: "no tuning curve: nothing says how these trials were drawn; it needs independent draws",
    Obstacle.TOO_FEW: f"too few trials to say what more of them would bring: it takes {FEWEST}",
}

UNSAID = {
    Unsaid.TOO_FEW: "too few trials to say how good the best value is that this space allows",
    Unsaid.EQUAL: "too many equal values to say how good the best is that this space allows",
}


@dataclass(frozen=True)
class Found:
    """`losses`: the loss axis of the study's panels. `best`: None where nothing is asked."""

    curve: TuningCurve | Obstacle
    losses: LossScale
    objective: str
    best: BestPossible | Unsaid | None


def find(snapshot: Snapshot) -> Found | None:
    """None before a second trial has ended."""
    curve = tuning_curve(snapshot)
    if curve is None:
        return None
    possible = isinstance(curve, TuningCurve) and curve.failed < curve.trials
    best = best_possible(snapshot) if possible else None
    return Found(curve, loss_scale(snapshot), snapshot.objective, best)


def panel(found: Found, width: int, *, color: bool = True) -> tuple[Line, ...]:
    """HEIGHT lines: the median as a line, the ends of its band as dotted ones. () where none would show."""
    curve, losses, objective = found.curve, found.losses, found.objective
    if isinstance(curve, Obstacle) or not any(math.isfinite(point.median) for point in curve.points):
        return ()
    width = min(width, WIDEST)
    last = math.log10(curve.points[-1].trials)
    low, high = -last * ROOM, last * (1 + ROOM)
    ladder = log_ladder(low, high)
    scatter = Scatter(
        f"best {objective} of so many trials: median and 95 % band",
        "",
        Axis("trials", "log", low, high, usual(ladder), ladder),
        replace(loss_axis(objective, losses), under=False, over=False),
        (),
    )
    area = canvas(scatter, width, HEIGHT)
    if not area.drawable:
        return draw_cells(scatter, width, HEIGHT, {}, {}, color=color)

    columns, rows = ACROSS * area.columns, DOWN * area.rows

    def corner(trials: int, value: float) -> tuple[int, int]:
        return (
            place(math.log10(trials), scatter.x, columns),
            rows - 1 - place(losses.place(value)[0], scatter.y, rows),
        )

    points: dict[tuple[int, int], Sign] = {}
    band = [[(p.trials, p.good) for p in curve.points], [(p.trials, p.bad) for p in curve.points]]
    median = [(p.trials, p.median) for p in curve.points]
    for line, dotted in ((band[0], True), (band[1], True), (median, False)):
        dots = [corner(*at) for at in line if math.isfinite(at[1])]
        for (column, row), glyph in braille(dots).items():
            if not dotted or column % 2 == 0:
                sign = Sign(glyph, (RUNNING if dotted else FINISHED).style, 0)
                points[column, area.rows - 1 - row] = sign
    return draw_cells(scatter, width, HEIGHT, points, {}, color=color)


def sentences(found: Found) -> tuple[str, ...]:
    """What the curve says, or the reason why there is none."""
    curve = found.curve
    if isinstance(curve, Obstacle):
        return (WHY[curve],)
    return _reached(curve), *_outlook(curve.outlook), *_possible(found.best), *_counted(curve)


def _reached(curve: TuningCurve) -> str:
    point = curve.at(SHOWN)
    trials = plural(point.trials, "trial")
    if curve.failed == curve.trials:
        return f"none of {plural(curve.trials, 'trial')} finished: there is no best value yet"
    if math.isinf(point.median):
        return f"{trials} end without a finished one more than half of the time"
    return f"{trials} reach {number(point.median)} or better half of the time ({_band(point)})"


def _band(point: Point) -> str:
    """An open end is said as one: better than all that was seen, or no finished trial."""
    good = "better than any so far" if math.isinf(point.good) else number(point.good)
    bad = "none finished" if math.isinf(point.bad) else number(point.bad)
    return f"95 % band: {'from ' if math.isinf(point.good) else ''}{good} to {bad}"


def _outlook(outlook: Outlook) -> tuple[str, ...]:
    more = plural(outlook.more, "more trial")
    most = f"at most {_percent(outlook.at_most)}"
    if outlook.chance is None:
        return (f"{more}: {most} chance that one finishes (with 95 % confidence)",)
    margin = f"{100 * MARGIN:g} %{' of the distance between the quartiles' if outlook.of_spread else ''}"
    return (
        f"{more}: {_percent(outlook.chance)} chance to improve by more than {margin}, on average over such searches",
        f"in this search the chance is {most} (with 95 % confidence)",
    )


def _possible(best: BestPossible | Unsaid | None) -> tuple[str, ...]:
    if best is None:
        return ()
    if isinstance(best, Unsaid):
        return (UNSAID[best],)
    good = number(best.good)
    ends = f"not better than {good}" if best.bad is None else f"{good} to {number(best.bad)}"
    return (
        f"the best that this space allows, averaged over seeds: {ends} (95 % confidence, if values are about "
        f"quadratic near the optimum); best so far: {number(best.best)}",
    )


def _percent(chance: float) -> str:
    if chance < 0.01:
        return "less than 1 %"
    return f"{min(99, round(100 * chance))} %" if chance <= 0.99 else "more than 99 %"


def _counted(curve: TuningCurve) -> tuple[str, ...]:
    failed = curve.failed
    worst = f"; the {failed} that did not finish {'counts' if failed == 1 else 'count'} as the worst"
    counted = f"counted as independent draws: {plural(curve.trials, 'trial')}{worst if failed else ''}"
    if not curve.left_out:
        return (counted,)
    return counted, f"left out: {plural(curve.left_out, 'trial')} (stopped, interrupted or run again)"
