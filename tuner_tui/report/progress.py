"""The viewer of a headless sweep: a progress bar on a terminal, plain lines in a CI log.

The engine calls `update` after every batch of events, so it has to be cheap however many trials there are:
what ended is found from the trials that were running and those that are new, never by looking at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TextIO

from ..analysis.pace import Pace, time_left, trial_seconds
from ..analysis.varied import varied
from ..study.outcomes import Outcome
from ..study.snapshot import Counts, Snapshot, Trial
from ..study.text import one_line
from ..view.signs import OUTCOME_SIGNS
from ..view.words import (
    OUTCOME_WORDS,
    before_words,
    best_words,
    brief_params,
    counts_parts,
    duration,
    ended_words,
    number,
    plural,
    why,
)
from .bar import bar_line
from .output import Output, is_terminal, paint, wants_color

REDRAW_S = 0.2  # five times a second looks live and costs an SSH line nothing
QUIET_S = 240.0  # CI services end a job that says nothing for about ten minutes


class Printer:
    """Prints what is new in each snapshot of one study. It never raises for trouble with its stream."""

    def __init__(
        self,
        stream: TextIO,
        *,
        color: bool | None = None,  # None: on a terminal without NO_COLOR
        live: bool | None = None,  # None: on a terminal
        clock: Callable[[], float] = time.time,  # the clock of the events
        logs: object = None,  # where the study's logs lie, named in the first line
    ) -> None:
        self._out = Output(stream)
        self._live = is_terminal(stream) if live is None else live
        self._color = wants_color(stream) if color is None else color
        self._clock = clock
        self._logs = logs
        self._created_at = clock()
        self._printed_at = self._created_at
        self._drawn_at: float | None = None  # None: no bar stands on the last line
        self._over = False  # the last bar is being drawn
        self._closed = False
        self._snapshot: Snapshot | None = None
        self._known = 0  # trials seen so far, in the order of their start
        self._running: set[int] = set()
        self._tally = dict.fromkeys(Outcome, 0)
        self._before = 0  # trials from before the study
        self._best: Trial | None = None
        self._pace = Pace()
        self._names: tuple[str, ...] = ()

    def update(self, snapshot: Snapshot) -> None:
        """Print what has happened since the last call. Call it now and then without news too: time passes."""
        if self._closed or self._out.gone or snapshot.opened_at is None:
            return
        first, self._snapshot = self._snapshot is None, snapshot
        ended = self._newly_ended(snapshot)
        now = self._clock()
        lines: list[str] = []
        if first:
            past = [t for t in ended if t.ended_at is not None and t.ended_at < self._created_at]
            ended = ended[len(past) :]  # by time: those before us come first
            self._names = varied(snapshot)
            lines += self._opening(snapshot, past)
        for trial in ended:
            is_best = self._count(snapshot, trial)
            if not self._live:
                lines.append(self._plain_line(snapshot, trial, is_best))
            elif is_best or trial.outcome is not Outcome.FINISHED:
                lines.append(self._live_line(snapshot, trial))
        if not self._live and not lines and now - self._printed_at >= QUIET_S:
            lines.append(f"… {self._state_words(snapshot, now)}")
        if lines or (self._live and self._due(now)):
            self._print(lines, now)

    def note(self, text: str) -> None:
        """Print a message of its own: `no new trials; 2 still running (Ctrl-C again stops them)`."""
        self._print([one_line(text, 1000)], self._clock())

    @property
    def closed(self) -> bool:
        """Whether it prints no more."""
        return self._closed

    def close(self) -> None:
        """Draw the bar a last time and leave the cursor on a line of its own."""
        if self._closed:
            return
        if self._live and self._snapshot is not None:
            self._over = True
            self._print([], self._clock())
            self._out.write("\n")
        self._closed = True

    # --- what is new

    def _newly_ended(self, snapshot: Snapshot) -> list[Trial]:
        """Trials that ended since the last snapshot, in the order of their ends."""
        trials = snapshot.trials
        if len(trials) != self._known:
            self._running.update(list(trials)[self._known :])
            self._known = len(trials)
        ended = [trials[n] for n in self._running if trials[n].outcome is not None]
        self._running.difference_update(t.number for t in ended)
        return sorted(ended, key=lambda t: (t.ended_at or 0.0, t.number))

    def _count(self, snapshot: Snapshot, trial: Trial) -> bool:
        """Take an ended trial into the counts; whether it is the best so far."""
        if trial.source:
            self._before += 1
        elif trial.outcome is not None:
            self._tally[trial.outcome] += 1
        self._pace.add(trial)
        if trial.outcome is not Outcome.FINISHED or trial.value is None:
            return False
        if self._best is not None and snapshot.rank(self._best) <= snapshot.rank(trial):
            return False
        self._best = trial
        return True

    def _counts(self, snapshot: Snapshot) -> Counts:
        return Counts(
            planned=snapshot.planned,
            running=len(self._running),
            finished=self._tally[Outcome.FINISHED],
            unfinished=self._tally[Outcome.UNFINISHED],
            no_start=self._tally[Outcome.NO_START],
            before=self._before,
        )

    def _remaining(self, snapshot: Snapshot, now: float) -> float | None:
        running = [snapshot.trials[n] for n in self._running]
        return time_left(self._pace, snapshot, running, self._counts(snapshot).waiting, now)

    # --- how it is said

    def _opening(self, snapshot: Snapshot, past: Iterable[Trial]) -> list[str]:
        search = snapshot.search
        parts = [
            f"study {one_line(snapshot.study)}",
            f"search {one_line(search.name or '–')}",
            f"{plural(snapshot.planned, 'trial')}, {search.parallel} at a time",
        ]
        if self._logs is not None:
            parts.append(f"logs in {one_line(str(self._logs), 1000)}")
        lines = [paint(" · ".join(parts), "bold", self._color)]
        for trial in past:
            self._count(snapshot, trial)
        if self._before:
            lines.append(f"{before_words(snapshot)}; best {self._best_words()}")
        if ended := self._counts(snapshot).ended:
            lines.append(
                f"going on after {plural(ended, 'trial')} that ended before; best {self._best_words()}"
            )
        return lines

    def _plain_line(self, snapshot: Snapshot, trial: Trial, is_best: bool) -> str:
        """One ended trial in a log: how many of all, which, how it ended, its value, time and parameters."""
        counts = self._counts(snapshot)
        width = len(str(max(counts.planned, 1)))
        params = brief_params(trial, self._names)
        if reason := why(trial):
            params = f"{reason}  ({params})" if params else reason
        parts = [
            f"[{counts.ended:>{width}}/{counts.planned}] trial {trial.number:<{width}}",
            self._outcome(trial, width=15),  # "│ never started"
            f"{number(trial.value):>9}",
            f"{trial_seconds(trial) or 0.0:>7.1f} s",
            params,
            "best so far" if is_best else "",
        ]
        return "  ".join(part for part in parts if part)

    def _live_line(self, snapshot: Snapshot, trial: Trial) -> str:
        """Above the bar: a failure, or a new best."""
        seconds = duration(trial_seconds(trial))
        if trial.outcome is Outcome.FINISHED:
            return f"{self._outcome(trial, 'best so far')}  {self._best_words()} after {seconds}"
        value = "" if trial.value is None else f", at {number(trial.value)}"
        return f"{self._outcome(trial)}  trial {trial.number} after {seconds}{value}: {why(trial)}"

    def _outcome(self, trial: Trial, words: str = "", width: int = 0) -> str:
        text = f"{OUTCOME_SIGNS[trial.outcome].glyph} {words or OUTCOME_WORDS[trial.outcome]}"
        return paint(f"{text:<{width}}", OUTCOME_SIGNS[trial.outcome].style, self._color)

    def _best_words(self) -> str:
        return best_words(self._best)

    def _state_words(self, snapshot: Snapshot, now: float) -> str:
        counts = self._counts(snapshot)
        left = duration(self._remaining(snapshot, now))
        words = ", ".join(part for _, part in counts_parts(counts))
        return f"{ended_words(counts)}: {words}; best {self._best_words()}; ETA {left}"

    # --- how it gets there

    def _due(self, now: float) -> bool:
        # Not `now >= ...`: a clock that was set back must not freeze the bar.
        return self._drawn_at is None or not 0 <= now - self._drawn_at < REDRAW_S

    def _print(self, lines: list[str], now: float) -> None:
        """Print `lines`, and on a terminal the bar under them, in one write so that nothing flickers."""
        if self._closed:
            return
        text = "".join(f"{line}\n" for line in lines)
        if lines:
            self._printed_at = now
        if self._live:
            clear = "\r\x1b[K" if self._drawn_at is not None else ""
            text = clear + text
            if self._snapshot is not None:
                text += self._bar(self._snapshot, now)
                self._drawn_at = now
        if text:
            self._out.write(text)

    def _bar(self, snapshot: Snapshot, now: float) -> str:
        if self._over:
            outlook = f"took {duration(max(0.0, now - self._created_at))}"
        elif snapshot.stopping or snapshot.paused:
            outlook = "stopping" if snapshot.stopping else "paused"
        else:
            outlook = f"ETA {duration(self._remaining(snapshot, now))}"
        return bar_line(
            self._counts(snapshot),
            best=self._best_words(),
            outlook=outlook,
            columns=self._out.columns() - 1,  # the last column makes some terminals wrap
            color=self._color,
        )
