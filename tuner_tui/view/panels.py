"""The scatterplots as they are shown: each with a mark where failures crowd at some values of its hyperparameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from .charts import Scatter, scatters

if TYPE_CHECKING:
    from ..analysis.crash_bias import CrashBias


class PanelOrder(StrEnum):
    """In what order the panels stand."""

    FILE = "as in the search file"
    CRASHES = "most crash bias first"
    EFFECT = "most effect on the loss first"


# By hyperparameter: which failures crowd, and the sign of where.
Marks = Mapping[str, tuple[tuple[Outcome, str], ...]]

CROWD_NOTE = "▸ ◂ ! behind a name: trials with that sign crowd at large values, at small ones, at one choice"


def panels(snapshot: Snapshot) -> tuple[Scatter, ...]:
    """As `scatters`, with their marks. A screen finds the two apart, because the marks take longer."""
    from .crash_bias import find  # late: it brings numpy, and the first paint needs none

    return marked(scatters(snapshot), marks_of(find(snapshot)))


def marks_of(found: CrashBias | None) -> Marks:
    """What a finding of crash bias says of each panel."""
    if found is None:
        return {}
    from .crash_bias import mark

    names = {bias.name for kind in found.kinds for bias in kind.biased}
    return {
        name: tuple((kind.outcome, sign) for kind in found.kinds if (sign := mark(kind.of(name))))
        for name in names
    }


def ordered(
    found: Iterable[Scatter], order: PanelOrder, bias: CrashBias | None, effects: Mapping[str, float]
) -> tuple[Scatter, ...]:
    """The panels in an order; in another than the file's they are in no groups."""
    listed = list(found)
    if order is PanelOrder.FILE:
        return tuple(listed)
    if order is PanelOrder.EFFECT:
        listed.sort(key=lambda scatter: -effects.get(scatter.name, 0.0))
    else:
        kinds = bias.kinds if bias else ()
        listed.sort(
            key=lambda s: min((of.corrected for kind in kinds if (of := kind.of(s.name))), default=1.0)
        )
    return tuple(replace(scatter, group="") for scatter in listed)


def marked(plain: Iterable[Scatter], marks: Marks) -> tuple[Scatter, ...]:
    """The panels with their marks; one that has none is left as it is."""
    return tuple(replace(s, crowds=marks[s.name]) if s.name in marks else s for s in plain)
