"""The head of a study: its name and state, its trials counted by outcome, the best value, the time.

The counts come with the signs the plots use, so this is the legend as well. Two lines of text and a bar whose
colours are the share of each outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from ...analysis.pace import Pace, elapsed, time_left
from ...study.outcomes import Outcome
from ...study.publication import Publication
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import printable
from ...view.signs import BEFORE, OUTCOME_SIGNS, OUTCOME_TONES, STATE_TONES
from ...view.words import BRIEF_WORDS, OUTCOME_WORDS, duration, number, state_word
from ..keys import advice

_ROOMY = 100  # cells; with fewer each word counts


class Counts(Widget):
    """The head of the study screen."""

    snapshot: reactive[Snapshot] = reactive(Snapshot, always_update=True)
    state: reactive[State] = reactive(State.EMPTY)
    now: reactive[float] = reactive(0.0)
    publication: reactive[Publication | None] = reactive(None)
    filtered: reactive[str] = reactive("")  # what the filter lets through; the counts are of all trials
    note: reactive[str] = reactive("")  # what else must be known: the journal is still being read, it is gone

    def __init__(self, study: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._study = study
        self._pace = Pace()
        self._paced_for: tuple[object, ...] = ()

    def render(self) -> Content:
        width = max(1, self.content_size.width)
        lines = [self._title(width), self._tally(width)]
        if self.content_size.height > 2:
            lines.append(share_bar(self.snapshot, width))
        return Content("\n").join(lines)

    def _title(self, width: int) -> Content:
        snapshot, state = self.snapshot, self.state
        tone = f"${STATE_TONES[state]}"
        name = Content.assemble((printable(self._study), "bold $foreground"), "  ",
                                (f"◆ {state_word(state, snapshot)}", tone))  # fmt: skip
        sentence = self.note or advice(state, snapshot)
        right = Content.styled(self._times(), "$quiet")
        if self.filtered:
            brief = self.filtered if width >= _ROOMY else self.filtered.replace(" trials", "")
            room = width - name.cell_length - right.cell_length - 4
            name = Content.assemble(name, "  ", (f" {_cut(brief, room - 2)} ", "$text-warning reverse"))
        room = width - name.cell_length - right.cell_length - 2
        if sentence and room > 12:
            name = Content.assemble(
                name, (f": {_cut(sentence, room - 2)}", tone if not self.note else "$warning")
            )
        return _both_ends(name, right, width)

    def _times(self) -> str:
        spent = elapsed(self.snapshot, self.state, self.now)
        if spent is None:
            return ""
        times = duration(float(int(spent)))
        counts = self.snapshot.counts
        unended = counts.waiting + counts.running if not self.snapshot.open_ended else 0
        if self.state is State.RUNNING and unended and not self.snapshot.stopping:
            left = self._left()
            times += f" · {duration(left)} left" if left is not None else " · no estimate yet"
        return times

    def _left(self) -> float | None:
        """Seconds until the last planned trial ends. Only ends change the pace, and this is asked each second."""
        snapshot = self.snapshot
        if self._paced_for != snapshot.ends:
            self._paced_for, self._pace = snapshot.ends, Pace(snapshot.trials.values())
        running = [trial for trial in snapshot.trials.values() if trial.running]
        return time_left(self._pace, snapshot, running, snapshot.counts.waiting, self.now)

    def _tally(self, width: int) -> Content:
        """Counts left, best right: with as many words as there is room for."""
        best = self._best()
        for words, gap in ((OUTCOME_WORDS, "   "), (BRIEF_WORDS, "  "), (BRIEF_WORDS, " ")):
            tally = self._counted(words, gap)
            objective = printable(self.snapshot.objective) if words is OUTCOME_WORDS else ""
            right = self._best(objective)
            if tally.cell_length + right.cell_length + 3 <= width:
                if (note := self._mlflow()) and tally.cell_length + right.cell_length + len(
                    note
                ) + 6 <= width:
                    right = Content.assemble((note + "   ", "$quiet"), right)
                return _both_ends(tally, right, width)
        return _both_ends(self._counted({}, " "), best, width)

    def _counted(self, words: Mapping[Outcome | None, str], gap: str) -> Content:
        counts, alive = self.snapshot.counts, self.state is State.RUNNING
        parts = [
            (OUTCOME_SIGNS[outcome].glyph, amount, words.get(outcome, ""), f"${OUTCOME_TONES[outcome]}")
            for outcome, amount in counts.tally.items()
            if outcome is not None
        ]
        if self.state is State.READING:  # what runs and what waits is not known before all has been read
            return Content(gap).join(_count(*part) for part in parts)
        if counts.running or alive:
            running = words.get(None, "") if alive else "lost" if words else ""
            tone = "$success" if alive else "$quiet"
            parts.append((OUTCOME_SIGNS[None].glyph, counts.running, running, tone))
        parts.append(("·", counts.waiting, "waiting" if words else "", "$quiet"))
        if counts.before:
            parts.append((BEFORE.glyph, counts.before, "from before" if words else "", "$quiet"))
        return Content(gap).join(_count(*part) for part in parts)

    def _best(self, objective: str = "") -> Content:
        best = self.snapshot.best
        if best is None:
            return Content("")
        name = f"best {objective} " if objective else "best "
        return Content.assemble((name, "$quiet"), (number(best.value), "bold $finished"),
                                (f" ★{best.number}", "$quiet"))  # fmt: skip

    def _mlflow(self) -> str:
        copy = self.publication
        if copy is None:
            return ""
        if copy.error:
            return "MLflow away"
        if not copy.complete and not copy.at_work:
            return "MLflow behind: `tuner publish`"
        # A publisher works in batches, so a little behind is its normal state.
        return f"MLflow {copy.behind_bytes // 1000} kB behind" if copy.behind_bytes > 20_000 else "MLflow ✓"


def _count(sign: str, amount: int, word: str, tone: str) -> Content:
    return Content.assemble(
        (f"{sign} ", tone),
        (f"{amount}", f"bold {tone}" if amount else "$quiet"),
        (f" {word}" if word else "", "$quiet"),
    )


def share_bar(snapshot: Snapshot, width: int) -> Content:
    """A line of `width` cells, coloured by the share of each outcome among the planned trials."""
    counts = snapshot.counts
    total = max(1, counts.ended + counts.running + counts.waiting)
    parts: list[tuple[str, str]] = []
    drawn, seen = 0, 0
    for outcome, amount in counts.tally.items():
        seen += amount
        until = round(seen / total * width)
        parts.append(("━" * (until - drawn), f"${OUTCOME_TONES[outcome]}"))
        drawn = until
    parts.append(("─" * (width - drawn), "$faint"))
    return Content.assemble(*(part for part in parts if part[0]))


def _cut(text: str, room: int) -> str:
    return text if cell_len(text) <= room else text[: max(0, room - 1)] + "…"


def _both_ends(left: Content, right: Content, width: int) -> Content:
    """Left and right on one line; the right one gives way where both don't fit."""
    space = width - left.cell_length - right.cell_length
    if space < 1:
        return left.truncate(width, ellipsis=True)
    return Content.assemble(left, " " * space, right)
