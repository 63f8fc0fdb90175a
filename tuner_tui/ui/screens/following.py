"""A study followed live: read, charted, searched for findings; nothing of how that is laid out on the screen.

The screen's thread reads in slices and charts what is short. What takes longer than a key may wait, charts and
findings of a long study, is computed in threads (`background.py`). `StudyScreen` extends this with all that is on
view.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping
from typing import Any

from textual.message import Message
from textual.reactive import reactive

from ...analysis.effect import effects
from ...analysis.filter import Filter
from ...search.search import ABLATION, CONFIRMATION, RATE_FINDER
from ...study.outcomes import Outcome, Reason
from ...study.publication import Publication
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import one_line
from ...view import findings
from ...view.axes import Axes
from ...view.cells import prepare
from ...view.charts import Scatter, scatters
from ...view.findings import CRASH_BIAS, FINDINGS, RATE, SCATTERPLOTS, Finding
from ...view.loss import best_tenth, loss_scale
from ...view.panels import Marks, PanelOrder, marked, marks_of, ordered
from ...view.words import part_words, state_word
from ..background import Background
from ..doors import Doors
from ..keys import ENGINE, FILES, RESUMABLE, possible_for
from ..tail import StudyTail
from ..widgets.grid import ScatterGrid
from ..widgets.preview import Preview
from .sweep import SweepScreen

POLL_S = 0.25  # four looks a second at the journal's size: a person sees no delay, the disk no load
PICTURE_S = 0.5  # between two pictures: twice a second is live, and half the bytes of four times
SLOW_S = 1.0  # ... over a slow line
# A snapshot of ten thousand trials takes longer to chart than a poll lasts; then a fifth of the time goes there.
REST = 4.0
CHART_HERE = 1500  # trials; charting so many takes ten milliseconds, a key can wait for that
# While a long study is read for the first time, it is drawn at these shares of it: drawing takes longer than reading.
PICTURES_AT = (0.05, 0.25, 0.5, 1.0)
LONG_BYTES = 1_000_000  # of a journal; a shorter one is on the screen with the first paint
NOT_BY_ITSELF = (Reason.STOPPED, Reason.PRUNED, Reason.INTERRUPTED)
IN_A_ROW = 5  # trials that fail one after another: more than bad luck
# What is shown first of a study that is no sweep.
_FIRST = {RATE_FINDER: RATE, CONFIRMATION: findings.CONFIRMATION, ABLATION: findings.ABLATION}


def _charts(snapshot: Snapshot, axes: Axes) -> tuple[tuple[Scatter, ...], float | None]:
    """The panels, and how much of the y axis the best tenth of the trials takes."""
    losses = loss_scale(snapshot, axes)
    return scatters(snapshot, axes, losses), best_tenth(snapshot, losses)


def _of(snapshot: Snapshot) -> tuple[int, str]:
    """What tells the snapshots of one study apart."""
    return snapshot.version, snapshot.where


class FollowingScreen(SweepScreen):
    """What the newest snapshot of a study gives, and the findings in it."""

    scatters: reactive[tuple[Scatter, ...]] = reactive((), always_update=True, repaint=False)
    alive: reactive[bool] = reactive(True, repaint=False)
    standing: reactive[frozenset[str] | None] = reactive(None, repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)
    publication: reactive[Publication | None] = reactive(None, repaint=False)
    finding: reactive[Finding | None] = reactive(None, init=False, repaint=False)  # None: not known yet
    found: reactive[Mapping[str, Any]] = reactive(dict, init=False, repaint=False)  # by the finding's id
    filter: reactive[Filter | None] = reactive(None, init=False, repaint=False)
    filtered: reactive[str] = reactive("", repaint=False)  # what the filter lets through, in words
    axes: reactive[Axes] = reactive(Axes, init=False, repaint=False)
    panel_order: reactive[PanelOrder] = reactive(PanelOrder.FILE, init=False, repaint=False)

    def __init__(self, tail: StudyTail, doors: Doors, *, clock: Callable[[], float]) -> None:
        super().__init__(tail, doors)
        self.possible = possible_for(tail.source)
        self._charting = Background(self)
        self._finding = Background(self)
        self._clock = clock
        self._rest_until = 0.0
        self._next_picture = PICTURES_AT[0]
        self._chart_due = False  # a timer will chart when its time has come
        self._charted_of = (-1, "")
        self._plain: tuple[Scatter, ...] = ()  # the panels, without what the findings say of them
        self._marks: Marks = {}
        self._rung_for: tuple[object, ...] = ()  # the ends that were looked at for failures that pile up
        self._failing: bool | None = None  # whether the last trials have all failed; None: not looked yet
        self._effects: Mapping[str, float] = {}
        self._tenth: float | None = None  # of the y axis, that the best tenth of the trials takes
        self._shown = Snapshot()  # the trials that the filter lets through
        self._found_in: tuple[object, ...] = ()  # what was searched for findings

    def _arrange(self) -> None:
        """List the trials that the filter lets through."""
        raise NotImplementedError

    def _title_findings(self) -> None:
        """Name what is found."""
        raise NotImplementedError

    # ---- following the journal

    def _look(self) -> None:
        """Read what is new, and show it unless the last picture was so dear that we owe the keyboard a rest."""
        self.tail.advance()
        self._read_on()

    def _read_on(self) -> None:
        if self.tail.state() is State.READING and self.tail.share_read < self._next_picture:
            self.state, self.note = State.READING, self._note()
        elif time.monotonic() >= self._rest_until:
            began = time.monotonic()
            slow = getattr(self.app, "slow", False)
            self._next_picture = next((s for s in PICTURES_AT if s > self.tail.share_read), 1.0)
            self._take(self.tail.snapshot)
            took = time.monotonic() - began
            self._rest_until = time.monotonic() + max(
                REST * took, (SLOW_S if slow else PICTURE_S) - POLL_S / 2
            )
        self._find_out()
        if not self.tail.caught_up:
            self.set_timer(0.001, self._look)

    def _take(self, snapshot: Snapshot) -> None:
        self.state = self.tail.state()
        self.alive = self.state in (State.RUNNING, State.READING)
        now = ENGINE if self.state is State.RUNNING else "" if self.state is State.DONE else RESUMABLE
        self.standing = self.possible & {FILES, now}
        now = self._clock()
        if self.alive or not self.now:
            self.now = float(
                int(now)
            )  # whole seconds: nothing shown is finer, so nothing is drawn in between
        if self._resuming_until is not None and time.monotonic() > self._resuming_until:
            self._resuming_until = None
            self.notify("No engine came up. l shows what it said.", severity="error", timeout=10)
        self.publication = self.tail.publication()
        self.note = self._note()
        if snapshot.version == self.snapshot.version and snapshot.opened_at == self.snapshot.opened_at:
            self.query_one(ScatterGrid).why_empty = self._why_empty(snapshot)
            return
        self.snapshot = snapshot
        if self.finding is None:
            self.finding = _FIRST.get(snapshot.search.kind, SCATTERPLOTS)
        self._show_trials()
        self._ring_when_failures_pile_up()

    def _show_trials(self, *, at_once: bool = False) -> None:
        """Plots, table and findings of the trials that the filter lets through."""
        self._shown = self.filter.narrow(self.snapshot) if self.filter else self.snapshot
        self.filtered = part_words(self._shown)
        self._chart(self._shown, at_once=at_once)
        self.query_one(ScatterGrid).why_empty = self._why_empty(self.snapshot)
        self._arrange()

    def _chart(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """Points and axes of a snapshot: at once for most studies, in a thread for the very long ones.

        These take a tenth of the time at most, unless a person asked for something (`at_once`).
        """
        wait = 0.0 if at_once else self._charting.rest_s
        if len(snapshot.trials) <= CHART_HERE:
            self._plain, self._tenth = _charts(snapshot, self.axes)
            self._charted_of = _of(snapshot)
            self._mark()
        elif not self._charting.busy and wait <= 0:
            axes = self.axes
            self._charting.begin(lambda: self._charted(snapshot, axes))
        elif not self._charting.busy and not self._chart_due:
            self._chart_due = True
            self.set_timer(wait, self._chart_now)

    def _chart_now(self) -> None:
        self._chart_due = False
        self._chart(self._shown, at_once=True)

    class Charted(Message):
        """The panels of a long study have been computed."""

        def __init__(
            self, snapshot: Snapshot, axes: Axes, scatters: tuple[Scatter, ...], tenth: float | None
        ) -> None:
            super().__init__()
            self.tenth = tenth
            self.snapshot = snapshot
            self.axes = axes
            self.scatters = scatters

    def _charted(self, snapshot: Snapshot, axes: Axes) -> Charted:
        found, tenth = _charts(snapshot, axes)
        prepare(found, self._plain)
        return self.Charted(snapshot, axes, found, tenth)

    def on_following_screen_charted(self, event: Charted) -> None:
        """A newer snapshot takes the place of any that waited meanwhile."""
        self._charting.over()
        self._plain, self._tenth = event.scatters, event.tenth
        self._mark()
        self._charted_of = _of(event.snapshot)
        asked = event.snapshot.where != self._shown.where or event.axes != self.axes
        if asked or self._charted_of != _of(self._shown):
            self._chart(self._shown, at_once=asked)

    # ---- what is found in it

    class Found(Message):
        """The findings in a snapshot have been computed."""

        def __init__(
            self,
            searched: tuple[object, ...],
            found: Mapping[str, Any],
            marks: Marks,
            effects: Mapping[str, float],
        ) -> None:
            super().__init__()
            self.effects = effects
            self.searched = searched
            self.found = found
            self.marks = marks

    def _find_out(self) -> None:
        """Look for findings in the newest snapshot: in a thread, and for at most a tenth of the time."""
        if self._finding.busy or self._found_in == self._sought or self._finding.rest_s > 0:
            return
        snapshot, sought = self._shown, self._sought
        by_effect = self.panel_order is PanelOrder.EFFECT
        self._finding.begin(lambda: self._found(snapshot, sought, by_effect))

    @property
    def _sought(self) -> tuple[object, ...]:
        """What is searched for findings: ended trials, but the curve of a finder as it grows. Effects are found
        only where panels stand by them."""
        searched = _of(self._shown) if self._shown.search.kind == RATE_FINDER else self._shown.ends
        return (*searched, self.panel_order is PanelOrder.EFFECT)

    def _found(self, snapshot: Snapshot, sought: tuple[object, ...], by_effect: bool) -> Found:
        found = {f.id: f.find(snapshot) for f in FINDINGS if f is not SCATTERPLOTS}
        shares = effects(snapshot) if by_effect else {}
        return self.Found(sought, found, marks_of(found[CRASH_BIAS.id]), shares)

    def on_following_screen_found(self, event: Found) -> None:
        self._finding.over()
        self._found_in = event.searched
        self.found, self._effects = event.found, event.effects
        if event.marks != self._marks or self.panel_order is not PanelOrder.FILE:
            self._marks = event.marks
            self._mark()

    def _mark(self) -> None:
        """Hand the panels on, with the marks of the last findings."""
        bias = self.found.get(CRASH_BIAS.id)
        self.scatters = ordered(marked(self._plain, self._marks), self.panel_order, bias, self._effects)
        self._title_findings()

    def on_scatter_grid_laid_out(self) -> None:
        self._title_findings()  # how many rows a panel has is known now

    @property
    def settled(self) -> bool:
        """Whether all that was read is on the screen."""
        drawn = self.query_one(ScatterGrid).settled and self.query_one(Preview).settled
        found = not self._finding.busy and self._found_in == self._sought
        charted = self._charted_of == _of(self._shown)
        taken = self.tail.caught_up and self.snapshot.version == self.tail.snapshot.version
        return taken and charted and found and drawn

    def _why_empty(self, snapshot: Snapshot) -> str:
        if snapshot.opened_at is None:
            return "waiting for the engine" if self.state is State.RUNNING else "nothing has happened yet"
        if self.state is State.FAILED:
            return "the search could not run; its detail says why"
        return "this search varies nothing"

    def watch_state(self, before: State, state: State) -> None:
        if state is State.RUNNING:
            self._resuming_until = None
        elif (
            before is State.RUNNING and self.source.desk is not None
        ):  # it ended, perhaps while one looked away
            self._ring(f"{self.source.name}: {state_word(state, self.snapshot)}")
            self.notify(f"{self.source.name}: {state_word(state, self.snapshot)}.", markup=False)

    def _ring(self, sentence: str) -> None:
        """A bell, and a message for terminals that show notifications (OSC 9); others pass over it."""
        self.app.bell()
        driver = self.app._driver
        if driver is not None and not self.app.is_web:
            driver.write(f"\x1b]9;{one_line(sentence)}\x07")

    def _ring_when_failures_pile_up(self) -> None:
        """A bell when the last trials have all failed by themselves; again only after one that did not."""
        if self.snapshot.ends == self._rung_for:
            return
        self._rung_for = self.snapshot.ends
        ended = [
            t
            for t in self.snapshot.trials.values()
            if t.ended_at is not None and t.reason not in NOT_BY_ITSELF
        ]
        last = heapq.nlargest(IN_A_ROW, ended, key=lambda t: t.ended_at or 0.0)
        failing = len(last) == IN_A_ROW and not any(t.outcome is Outcome.FINISHED for t in last)
        if failing and self._failing is False and self.state is State.RUNNING:
            self._ring(f"{self.source.name}: the last {IN_A_ROW} trials have failed")
            self.notify(
                f"The last {IN_A_ROW} trials have failed: n shows why.", severity="warning", timeout=10
            )
        self._failing = failing
