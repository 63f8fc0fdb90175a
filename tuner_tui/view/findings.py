"""The list of findings: the screen, `tuner plot` and every report go over it.

To add one: an analysis in `analysis/` (Snapshot -> frozen value, None where there is nothing to show), a file
here in `view/` that draws it, and an entry in FINDINGS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..analysis.rate import RateCurve, rate_curve
from ..analysis.refinement import refinement
from ..search.search import RATE_FINDER
from ..study.snapshot import Snapshot
from . import ablation, ahead, best_so_far, confirmation, tuning_curve
from .axes import Overlay
from .draw import PICTURE_HEIGHT, Line, Run
from .page import as_text, page_lines
from .rate import rate_panel, rate_words
from .refinement import sentences
from .signs import TITLE

if TYPE_CHECKING:
    from ..analysis.crash_bias import CrashBias
    from ..analysis.draws import Obstacle
    from ..analysis.importance import Importance
    from .referee import Found as Refereed
    from .scientific import Found as Compared


@dataclass(frozen=True)
class Finding:
    """One thing to be seen in a study.

    `find`: Snapshot -> value, or None where there is nothing to show. `draw`: (value, width in cells, color) ->
    lines at most that wide. `say`: value -> sentences, for readers that don't draw.
    """

    id: str
    title: str
    find: Callable[[Snapshot], Any]
    draw: Callable[[Any, int, bool], tuple[Line, ...]]
    say: Callable[[Any], tuple[str, ...]] = lambda value: ()
    picture: bool = False  # it draws more than it says

    def lines(self, snapshot: Snapshot, width: int, *, color: bool) -> tuple[Line, ...]:
        """What is to be seen, () where there is nothing."""
        value = self.find(snapshot)
        return () if value is None else self.draw(value, width, color)


def _plots(snapshot: Snapshot) -> Snapshot | None:
    return None if snapshot.search.kind == RATE_FINDER else snapshot


def _draw_plots(snapshot: Snapshot, width: int, color: bool) -> tuple[Line, ...]:
    return page_lines(snapshot, width, color=color)


def _rate(snapshot: Snapshot) -> tuple[RateCurve, str] | None:
    curve = rate_curve(snapshot)
    return None if curve is None or not curve.readings else (curve, snapshot.search.rate)


def _draw_rate(found: tuple[RateCurve, str], width: int, color: bool) -> tuple[Line, ...]:
    curve, _ = found
    drawn = rate_panel(curve, width, PICTURE_HEIGHT, color=color) if len(curve.finite) > 1 else ()
    return (*drawn, *text_lines((rate_words(*found),), width))


def _crashes(snapshot: Snapshot) -> CrashBias | None:
    from .crash_bias import find  # late: it brings numpy, and the first paint needs none

    return find(snapshot)


def _say_crashes(found: CrashBias) -> tuple[str, ...]:
    from .crash_bias import sentences

    return tuple(sentences(found))


def _importance(snapshot: Snapshot) -> Importance | Obstacle | None:
    from .importance import find  # late: numpy

    return find(snapshot)


def _say_importance(found: Importance | Obstacle) -> tuple[str, ...]:
    from .importance import sentences

    return tuple(sentences(found))


def _scientific(snapshot: Snapshot) -> Compared | None:
    from .scientific import find  # late: numpy

    return find(snapshot)


def _say_scientific(found: Compared) -> tuple[str, ...]:
    from .scientific import sentences

    return sentences(found)


def _referee(snapshot: Snapshot) -> Refereed | None:
    from .referee import find  # late: numpy

    return find(snapshot)


def _draw_referee(found: Refereed, width: int, color: bool) -> tuple[Line, ...]:
    from .referee import lines

    return lines(found, width, color)


def _say_referee(found: Refereed) -> tuple[str, ...]:
    from .referee import sentences

    return sentences(found)


def text_lines(texts: tuple[str, ...], width: int) -> tuple[Line, ...]:
    """Sentences, each on as many lines as it needs."""
    return tuple((Run(line, ""),) for text in texts for line in wrap(text, max(width, 1)))


def _of_a_sweep(find: Callable[[Snapshot], Any]) -> Callable[[Snapshot], Any]:
    """A finding about trials that were drawn: a study that runs chosen ones again has none."""
    return lambda snapshot: None if snapshot.search.again is not None else find(snapshot)


def _spoken(
    id: str, title: str, find: Callable[[Snapshot], Any], say: Callable[[Any], tuple[str, ...]]
) -> Finding:
    """A finding that is sentences and nothing else."""
    return Finding(id, title, find, lambda found, width, color: text_lines(say(found), width), say)


SCATTERPLOTS = Finding("scatterplots", "Plots", _plots, _draw_plots)
RATE = Finding("rate", "Learning rate", _rate, _draw_rate, lambda found: (rate_words(*found),))
BEST_SO_FAR = Finding(
    "best-so-far",
    "Best so far",
    _of_a_sweep(best_so_far.find),
    lambda found, width, color: (
        *best_so_far.panel(found, width, color=color),
        *text_lines((best_so_far.sentence(found),), width),
    ),
    lambda found: (best_so_far.sentence(found),),
    picture=True,
)
CRASH_BIAS = _spoken("crash-bias", "Crash bias", _of_a_sweep(_crashes), _say_crashes)
TUNING_CURVE = Finding(
    "tuning-curve",
    "Tuning curve",
    _of_a_sweep(tuning_curve.find),
    lambda found, width, color: (
        *tuning_curve.panel(found, width, color=color),
        *text_lines(tuning_curve.sentences(found), width),
    ),
    tuning_curve.sentences,
    picture=True,
)

IMPORTANCE = _spoken("importance", "Importance", _of_a_sweep(_importance), _say_importance)
REFINEMENT = _spoken("refinement", "Refinement", refinement, sentences)
OUTLIERS = _spoken("outliers", "Outliers", ahead.find, ahead.sentences)
SCIENTIFIC = _spoken("scientific", "Comparison", _scientific, _say_scientific)
REFEREE = Finding("referee", "Referee", _referee, _draw_referee, _say_referee)

CONFIRMATION = _spoken("confirmation", "Confirmation", confirmation.find, confirmation.sentences)
ABLATION = _spoken("ablation", "Ablation", ablation.find, ablation.sentences)
FINDINGS: tuple[Finding, ...] = (
    SCATTERPLOTS, RATE, REFINEMENT, CONFIRMATION, ABLATION, CRASH_BIAS, BEST_SO_FAR, TUNING_CURVE, IMPORTANCE,
    SCIENTIFIC, OUTLIERS, REFEREE,
)  # fmt: skip


def all_findings(snapshot: Snapshot, width: int, *, color: bool, overlay: Overlay = Overlay.POINTS) -> str:
    """Every finding as text, the plots first, each other one under its title."""
    parts: list[str] = []
    for finding in FINDINGS:
        if finding is SCATTERPLOTS and _plots(snapshot):
            lines = page_lines(snapshot, width, color=color, overlay=overlay)
        else:
            lines = finding.lines(snapshot, width, color=color)
        if lines:
            title = () if finding is SCATTERPLOTS else ((Run(finding.title, TITLE if color else ""),),)
            parts.append(as_text((*title, *lines), color=color))
    return "\n".join(parts)
