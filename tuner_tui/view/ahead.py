"""Which trials are ahead of the pack, in sentences.

3 trials are ahead of the pack: 7, 3, 9, with 0.42 to 0.93; the next has 1.24
chance alone makes such a gap in 1 of 400 searches; run them again with other seeds before you believe them
"""

from __future__ import annotations

from ..analysis.ahead import FEWEST, Ahead, ahead
from ..analysis.draws import Obstacle
from ..study.snapshot import Snapshot
from .words import number, plural, trial_list

WHY = {
    Obstacle.FILTERED: "no outliers of a part: a filter chooses trials, so they are no independent draws",
    Obstacle.CHANGED: "no outliers: the space was changed, and trials from different spaces are not comparable",
    Obstacle.LEARNS: "no outliers: this sampler learns from earlier trials, so they are not independent draws",
    Obstacle.SPREAD: "no outliers: this sampler spreads trials evenly, so they are not independent draws",
    Obstacle.UNKNOWN: "no outliers: nothing says how these trials were drawn; it needs independent draws",
    Obstacle.TOO_FEW: f"too few finished trials to say whether one is ahead of the pack: it takes {FEWEST}",
}
RAREST = 10_000  # searches: a chance is not told to more digits than a tail is known


def find(snapshot: Snapshot) -> Ahead | Obstacle | None:
    """None before a second trial has finished, and for a rate finder."""
    return ahead(snapshot)


def sentences(found: Ahead | Obstacle) -> tuple[str, ...]:
    """Whether some are ahead, with the gap and how often chance makes one like it."""
    if isinstance(found, Obstacle):
        return (WHY[found],)
    first, last = (number(trial.value) for trial in (found.trials[0], found.trials[-1]))
    follower, often = number(found.follower.value), _often(found.chance)
    if not found.told:
        behind = "the best" if len(found.trials) == 1 else f"the best {len(found.trials)}"
        return (
            f"no trial is ahead of the pack: the most unusual gap is behind {behind} ({last}, then {follower}), and "
            f"chance alone makes one like it {often}",
        )
    one = len(found.trials) == 1
    values = first if first == last else f"{first} to {last}"
    are = "is" if one else "are"
    return (
        f"{plural(len(found.trials), 'trial')} {are} ahead of the pack: {trial_list(found.trials)}, "
        f"with {values}; the next has {follower}",
        f"chance alone makes such a gap {often}; run {'it' if one else 'them'} again with other seeds before you "
        f"believe {'it' if one else 'them'}",
    )


def _often(chance: float) -> str:
    if chance >= 1:
        return "in most searches"
    if chance > 0.5:
        return "in more than half of all searches"
    times = round(1 / max(chance, 1 / RAREST))
    return (
        f"in less than 1 of {RAREST:,} searches" if times >= RAREST else f"in about 1 of {times:,} searches"
    )
