"""How many trials are ahead of the pack, and whether a gap like the one behind them comes by chance.

"Three runs are ahead of the pack, but they look like outliers to me", says the post of 2017, by eye. Losses x1 <= x2
<= ... of independent draws: in the tail of a distribution that falls off like an exponential, the spacings
i (x(i+1) - x(i)) are independent with one exponential distribution (Renyi 1953), so the gap behind the best j, as a
multiple of the mean of the next `behind` spacings, exceeds r with the chance (1 + r / behind)^-behind. Tails that end
sooner, as those of normal, uniform and lognormal losses, have smaller gaps: there the test raises fewer alarms than
it may. It is asked on a linear and, where all values have one sign, on a log scale; the larger chance counts, because
nobody knows on which of them losses are regular. It is corrected for the MOST gaps it looks at.

A gap says that the best are unlike the rest. It does not say why: a good region that is rarely hit, or luck with the
seed; only running them again can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..search.search import RATE_FINDER
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .draws import Obstacle, counted, obstacle_of

FEWEST = 20  # finished trials: six spacings behind the first gap
MOST = (
    5  # trials that can be ahead of a pack; more of them are a group of their own, which no gap test is for
)
BEHIND = 30  # spacings that a gap is compared with: further from the best the tail is no tail
LEVEL = 0.05  # the chance that any gap is called large in a search with none


@dataclass(frozen=True)
class Ahead:
    """`trials`: the best, before the largest gap; `follower`: the next. `chance`: of such a gap, corrected."""

    trials: tuple[Trial, ...]
    follower: Trial
    chance: float
    finished: int

    @property
    def told(self) -> bool:
        """Whether the gap is larger than chance makes them."""
        return self.chance <= LEVEL


def ahead(snapshot: Snapshot) -> Ahead | Obstacle | None:
    """None before a second trial has finished, and for a rate finder."""
    finished = [t for t in counted(snapshot) if t.outcome is Outcome.FINISHED and t.value is not None]
    if len(finished) < 2 or snapshot.search.kind == RATE_FINDER:
        return None
    if obstacle := obstacle_of(snapshot):
        return obstacle
    if len(finished) < FEWEST:
        return Obstacle.TOO_FEW
    finished.sort(key=snapshot.rank)
    many, chance = largest_gap([snapshot.search.sign * t.value for t in finished if t.value is not None])
    return Ahead(tuple(finished[:many]), finished[many], chance, len(finished))


def largest_gap(scores: Sequence[float]) -> tuple[int, float]:
    """(how many are before the most surprising gap, its chance). `scores`: ascending, at least FEWEST of them."""
    behind = min(BEHIND, len(scores) // 3)
    near = scores[: MOST + behind + 1]
    # Losses may be rounded: a gap is then up to one unit too large.
    unit = min((b - a for a, b in pairwise(near) if b > a), default=0.0)
    chances = _chances(near, unit, behind, lambda score: score)
    if near[0] > 0:
        chances = map(max, chances, _chances(near, unit, behind, math.log))
    elif scores[-1] < 0:
        chances = map(max, chances, _chances(near, unit, behind, lambda score: -math.log(-score)))
    chances = list(chances)
    many = min(range(MOST), key=chances.__getitem__)
    return many + 1, min(1.0, MOST * chances[many])


def _chances(
    scores: Sequence[float], unit: float, behind: int, scale: Callable[[float], float]
) -> list[float]:
    """For the gap behind each of the best 1 to MOST: the chance of one at least as large, on a scale."""
    places = [scale(score) for score in scores]
    spacings = [i * (places[i] - places[i - 1]) for i in range(1, len(places))]
    found: list[float] = []
    for many in range(1, MOST + 1):
        mean = sum(spacings[many : many + behind]) / behind
        gap = max(0.0, places[many] - scale(min(scores[many - 1] + unit, scores[many])))
        # Where all behind it are equal nothing is known of a tail.
        found.append((1 + many * gap / mean / behind) ** -behind if mean > 0 else 1.0)
    return found
