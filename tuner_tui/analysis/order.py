"""In what order trials are listed. The table, the keys and the selection all use this order."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from ..study.snapshot import Snapshot

_Member = TypeVar("_Member", bound=StrEnum)


class Order(StrEnum):
    """How the listed trials are sorted."""

    NUMBER = "by number"
    VALUE = "best first"
    REASON = "by reason"


def following(value: _Member) -> _Member:
    """The next member, round and round."""
    members = list(type(value))
    return members[(members.index(value) + 1) % len(members)]


def arrange(snapshot: Snapshot, order: Order = Order.NUMBER) -> tuple[int, ...]:
    """Numbers of the trials to list, in order."""
    trials = list(snapshot.trials.values())
    if order is Order.VALUE:
        trials.sort(key=snapshot.rank)
    elif order is Order.REASON:
        trials.sort(key=lambda t: (t.reason is None, t.reason or "", t.number))
    else:
        trials.sort(key=lambda t: t.number)
    return tuple(t.number for t in trials)


def neighbour(rows: tuple[int, ...], selected: int | None, by: int) -> int | None:
    """The trial `by` rows away from the selected one, held at the ends; None when there are no rows."""
    if not rows:
        return None
    if selected not in rows:
        return rows[0] if by > 0 else rows[-1]
    return rows[min(len(rows) - 1, max(0, rows.index(selected) + by))]
