"""Which hyperparameters matter, in sentences.

2 of 7 hyperparameters explain the loss: lr 61 %, width 12 % of the differences in rank (chance alone: up to 5 %)
the other 5 can't be told from chance
each of these explains at most 11 % by itself (with 95 % confidence)
"""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.draws import Obstacle
from ..analysis.effect import ENOUGH
from ..analysis.importance import Importance, Share, importance
from ..analysis.pairs import Pair
from ..study.snapshot import Snapshot
from .words import one_line, plural

MOST = 6  # named at once; the rest is counted
WHY = {
    Obstacle.FILTERED: "no importance of a part: a filter chooses trials, so they are no independent draws",
    Obstacle.CHANGED: "no importance: the space was changed, so hyperparameters are not independent of each other",
    Obstacle.LEARNS: "no importance: this sampler learns from earlier trials, so values and losses change together",
    Obstacle.SPREAD: "no importance: this sampler spreads trials evenly, so they are not independent draws",
    Obstacle.UNKNOWN: "no importance: nothing says how these trials were drawn; it needs independent draws",
    Obstacle.TOO_FEW: f"too few trials to say what matters: it takes {ENOUGH}",
}

Found = Importance | Obstacle


def find(snapshot: Snapshot) -> Found | None:
    """None before a second trial has ended, or where nothing was varied."""
    return importance(snapshot)


def sentences(found: Found) -> list[str]:
    """What the loss depends on, then what decides whether a trial finishes; or why that can't be said."""
    if isinstance(found, Obstacle):
        return [WHY[found]]
    said: list[str] = []
    if found.loss:
        said += _question(found.loss, ("explains", "explain"), "the loss", "differences in rank")
    else:
        said.append(f"too few to say what explains the loss: {plural(found.finished, 'finished trial')}")
    if found.pair is not None and found.pair.told:
        said.append(_together(found.pair))
    whether = "whether a trial finishes"
    if found.survival:
        said += _question(found.survival, ("decides", "decide"), whether, "differences in that")
    elif found.unfinished:
        few, did = min((found.finished, "finished"), (found.unfinished, "did not finish"))
        said.append(f"too few to say what decides {whether}: {plural(few, 'trial')} {did}")
    return said


def _question(shares: Sequence[Share], verbs: tuple[str, str], what: str, of: str) -> list[str]:
    told = [share for share in shares if share.told]
    rest = len(shares) - len(told)
    of_all = f"of {plural(len(shares), 'hyperparameter')}"
    if not told:
        return [f"{what}: none {of_all} can be told from chance", *_most(shares)]
    verb = verbs[0] if len(told) == 1 else verbs[1]
    named = ", ".join(f"{one_line(share.name)} {_percent(share.share)}" for share in told[:MOST])
    more = f" and {len(told) - MOST} more" if len(told) > MOST else ""
    chance = _percent(max(share.by_chance for share in told))
    line = f"{len(told)} {of_all} {verb} {what}: {named}{more} of the {of} (chance alone: up to {chance})"
    return [line, f"the other {rest} can't be told from chance", *_most(shares)] if rest else [line]


def _together(pair: Pair) -> str:
    names = " and ".join(map(one_line, pair.names))
    more, chance = _percent(pair.share), _percent(pair.by_chance)
    return f"{names} together explain {more} more than each by itself (chance alone: up to {chance})"


def _most(shares: Sequence[Share]) -> list[str]:
    """What those that can't be told from chance may explain all the same; [] where no bound says."""
    most = max(share.at_most for share in shares if not share.told)
    each = "each of these explains" if sum(not share.told for share in shares) > 1 else "it explains"
    return [f"{each} at most {_percent(most)} by itself (with 95 % confidence)"] if most < 1 else []


def _percent(share: float) -> str:
    return f"{round(100 * share)} %" if share >= 0.01 else "less than 1 %"
