"""One study: its counts, the scatterplots, the trials, and the selected trial in all of them.

The screen follows the study's source and gives each widget the newest snapshot. The actions on the sweep are in
`sweep.py`, which this screen extends.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult, SuspendNotSupported
from textual.containers import Horizontal, Vertical
from textual.markup import escape
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from ...analysis.difference import settings
from ...analysis.effect import effects
from ...analysis.failures import failure_groups
from ...analysis.filter import FAILED, RUNNING, Filter, Names, parse
from ...analysis.narrowing import Crashes, narrowed
from ...analysis.order import Order, arrange, following, neighbour
from ...search.search import ABLATION, CONFIRMATION, RATE_FINDER, Search
from ...search.write import spell
from ...study.outcomes import Outcome, Reason
from ...study.publication import Publication
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import one_line
from ...view import findings
from ...view.axes import X_SPACINGS, Y_SPACINGS, Axes, Overlay
from ...view.brush import brushed
from ...view.cells import prepare
from ...view.charts import Scatter, scatters
from ...view.findings import CRASH_BIAS, FINDINGS, RATE, SCATTERPLOTS, Finding
from ...view.loss import best_tenth, loss_scale
from ...view.panels import Marks, PanelOrder, marked, marks_of, ordered
from ...view.words import part_words, state_word
from ..doors import Doors
from ..keys import ENGINE, FILES, RESUMABLE, STUDY, bindings, keys_for, possible_for
from ..memory import Look, Memory
from ..tail import StudyTail
from ..widgets.counts import Counts
from ..widgets.detail import Curves, Detail
from ..widgets.filter_bar import FilterBar
from ..widgets.finding_pane import FindingPane
from ..widgets.grid import ScatterGrid
from ..widgets.key_line import KeyLine
from ..widgets.pane_tabs import PANES, PaneTabs
from ..widgets.preview import Preview
from ..widgets.rows import Rows
from ..widgets.trial_line import TrialLine
from ..widgets.trial_table import TrialTable
from .choice import ChoiceDialog, Option
from .compare import MOST, Compare
from .help import Help
from .log import LogScreen
from .search_form import Answer, SearchForm
from .sweep import SweepScreen

if TYPE_CHECKING:
    from ...analysis.next_search import Proposal

POLL_S = 0.25  # four looks a second at the journal's size: a person sees no delay, the disk no load
PICTURE_S = 0.5  # between two pictures: twice a second is live, and half the bytes of four times
SLOW_S = 1.0  # ... over a slow line
# A snapshot of ten thousand trials takes longer to chart than a poll lasts; then a fifth of the time goes there.
REST = 4.0
LONG_REST = 9.0  # charts and findings of a long study: a tenth of the time each
CHART_HERE = 1500  # trials; charting so many takes ten milliseconds, a key can wait for that
# While a long study is read for the first time, it is drawn at these shares of it: drawing takes longer than reading.
PICTURES_AT = (0.05, 0.25, 0.5, 1.0)
LONG_BYTES = 1_000_000  # of a journal; a shorter one is on the screen with the first paint
CURVES_S = 0.3  # a trial has been selected for so long when all it measured is read
CURVES_AGAIN_S = 3.0
NOT_BY_ITSELF = (Reason.STOPPED, Reason.PRUNED, Reason.INTERRUPTED)
IN_A_ROW = 5  # trials that fail one after another: more than bad luck
NARROW = 110  # cells; below, only one pane fits beside itself
OVERLAYS = {
    Overlay.POINTS: "",
    Overlay.MEDIANS: "medians and quartiles",
    Overlay.BEST: "the best near each value",
}
# What is shown first of a study that is no sweep.
_FIRST = {RATE_FINDER: RATE, CONFIRMATION: findings.CONFIRMATION, ABLATION: findings.ABLATION}
_NEEDY = {key.act for key in keys_for(STUDY) if key.needs}


def _charts(snapshot: Snapshot, axes: Axes) -> tuple[tuple[Scatter, ...], float | None]:
    """The panels, and how much of the y axis the best tenth of the trials takes."""
    losses = loss_scale(snapshot, axes)
    return scatters(snapshot, axes, losses), best_tenth(snapshot, losses)


def _of(snapshot: Snapshot) -> tuple[int, str]:
    """What tells the snapshots of one study apart."""
    return snapshot.version, snapshot.where


class StudyScreen(SweepScreen):
    """One study, followed live."""

    BINDINGS = bindings(STUDY)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-low"), (32, "-high")]  # noqa: RUF012
    AUTO_FOCUS = "#grid"

    scatters: reactive[tuple[Scatter, ...]] = reactive((), always_update=True, repaint=False)
    rows: reactive[tuple[int, ...]] = reactive((), repaint=False)
    alive: reactive[bool] = reactive(True, repaint=False)
    standing: reactive[frozenset[str] | None] = reactive(None, repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)
    publication: reactive[Publication | None] = reactive(None, repaint=False)
    finding: reactive[Finding | None] = reactive(None, init=False, repaint=False)  # None: not known yet
    found: reactive[Mapping[str, Any]] = reactive(dict, init=False, repaint=False)  # by the finding's id
    front: reactive[str] = reactive("grid", init=False, repaint=False)
    filter: reactive[Filter | None] = reactive(None, init=False, repaint=False)
    filtered: reactive[str] = reactive("", repaint=False)  # what the filter lets through, in words
    curves: reactive[Curves] = reactive(dict, init=False, repaint=False)  # of the selected trial
    axes: reactive[Axes] = reactive(Axes, init=False, repaint=False)
    overlay: reactive[Overlay] = reactive(Overlay.POINTS, init=False, repaint=False)
    panel_order: reactive[PanelOrder] = reactive(PanelOrder.FILE, init=False, repaint=False)
    order: reactive[Order] = reactive(Order.NUMBER, init=False, repaint=False)

    class Left(Message):
        """A person wants the list of studies back."""

    def __init__(self, tail: StudyTail, doors: Doors, *, memory: Memory, clock: Callable[[], float]) -> None:
        super().__init__(tail, doors)
        self.possible = possible_for(tail.source)
        self._offered = {key.act for key in keys_for(STUDY, self.possible)}
        self._clock = clock
        self._memory = memory
        self._rest_until = 0.0
        self._next_picture = PICTURES_AT[0]
        self._charting = False
        self._chart_after = 0.0
        self._chart_due = False  # a timer will chart when its time has come
        self._charted_of = (-1, "")
        self._plain: tuple[Scatter, ...] = ()  # the panels, without what the findings say of them
        self._marks: Marks = {}
        self._rung_for: tuple[object, ...] = ()  # the ends that were looked at for failures that pile up
        self._failing: bool | None = None  # whether the last trials have all failed; None: not looked yet
        self._curves_of: tuple[int, int] | None = None  # trial and steps whose measurements were read
        self._pointed_at: int | None = None  # the trial that the mouse came to rest on
        self._effects: Mapping[str, float] = {}
        self._tenth: float | None = None  # of the y axis, that the best tenth of the trials takes
        self._shown = Snapshot()  # the trials that the filter lets through
        self._found_in: tuple[object, ...] = ()  # what was searched for findings
        self._finding_out = False
        self._find_after = 0.0

    # ---- what is on it

    def compose(self) -> ComposeResult:
        cls = StudyScreen
        yield Counts(self.source.name, id="counts").data_bind(
            cls.snapshot, cls.state, cls.now, cls.publication, cls.note, cls.filtered
        )
        yield PaneTabs(id="tabs").data_bind(cls.front)
        with Horizontal(id="body"):
            yield ScatterGrid(id="grid", classes="pane").data_bind(cls.scatters, cls.selected, cls.overlay)
            yield FindingPane(id="finding", classes="pane -off").data_bind(cls.found)
            with Vertical(id="side"):
                yield TrialTable(id="table", classes="pane").data_bind(
                    cls.snapshot, cls.rows, cls.selected, cls.marked, cls.now, cls.alive
                )
                yield Detail(
                    self.source.name,
                    self.source.files,
                    origin="" if self.source.desk else self.source.address,
                    id="detail",
                    classes="pane",
                ).data_bind(cls.snapshot, cls.selected, cls.state, cls.now, cls.curves, cls.publication)
        yield TrialLine(id="trial-line").data_bind(cls.snapshot, cls.selected, cls.alive)
        yield FilterBar(id="filter").data_bind(said=cls.filtered)
        yield KeyLine(STUDY, id="keys").data_bind(cls.standing)

    def on_mount(self) -> None:
        self.query_one("#body").set_class(self._memory.get("plots_alone", False), "-alone")
        kept = self._memory.get("overlay", "")
        self.overlay = Overlay(kept) if kept in list(Overlay) else Overlay.POINTS
        self.watch_front(self.front)
        if (self.tail.source.extent().size or 0) > LONG_BYTES:
            self.call_after_refresh(self._look)  # the first paint does not wait for so much
        else:
            self._look()
        self.set_interval(POLL_S, self._look)

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
        wait = 0.0 if at_once else self._chart_after - time.monotonic()
        if len(snapshot.trials) <= CHART_HERE:
            self._plain, self._tenth = _charts(snapshot, self.axes)
            self._charted_of = _of(snapshot)
            self._mark()
        elif not self._charting and wait <= 0:
            self._charting = True
            axes = self.axes
            self.run_worker(lambda: self._chart_in_thread(snapshot, axes), thread=True)
        elif not self._charting and not self._chart_due:
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

    def _chart_in_thread(self, snapshot: Snapshot, axes: Axes) -> None:
        began = time.monotonic()
        found, tenth = _charts(snapshot, axes)
        prepare(found, self._plain)
        self._chart_after = time.monotonic() + LONG_REST * (time.monotonic() - began)
        self.post_message(self.Charted(snapshot, axes, found, tenth))

    def on_study_screen_charted(self, event: Charted) -> None:
        """A newer snapshot takes the place of any that waited meanwhile."""
        self._charting = False
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
        if self._finding_out or self._found_in == self._sought or time.monotonic() < self._find_after:
            return
        self._finding_out = True
        snapshot, sought = self._shown, self._sought
        by_effect = self.panel_order is PanelOrder.EFFECT
        self.run_worker(lambda: self._find_in_thread(snapshot, sought, by_effect), thread=True)

    @property
    def _sought(self) -> tuple[object, ...]:
        """What is searched for findings: ended trials, but the curve of a finder as it grows. Effects are found
        only where panels stand by them."""
        searched = _of(self._shown) if self._shown.search.kind == RATE_FINDER else self._shown.ends
        return (*searched, self.panel_order is PanelOrder.EFFECT)

    def _find_in_thread(self, snapshot: Snapshot, sought: tuple[object, ...], by_effect: bool) -> None:
        began = time.monotonic()
        found = {f.id: f.find(snapshot) for f in FINDINGS if f is not SCATTERPLOTS}
        shares = effects(snapshot) if by_effect else {}
        self._find_after = time.monotonic() + LONG_REST * (time.monotonic() - began)
        self.post_message(self.Found(sought, found, marks_of(found[CRASH_BIAS.id]), shares))

    def on_study_screen_found(self, event: Found) -> None:
        self._finding_out = False
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
        found = not self._finding_out and self._found_in == self._sought
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

    def watch_filter(self) -> None:
        self._show_trials(at_once=True)

    def watch_order(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        self.rows = arrange(self._shown, self.order)
        words = [self.filter.text] if self.filter else []
        about = ", ".join([*words, self.order.value])
        if self.is_mounted:
            self.query_one(PaneTabs).about = about
            self.query_one(TrialTable).border_title = self._table_title

    @property
    def _table_title(self) -> str:
        """The table's name, and how it is filtered and sorted where that is not as usual."""
        unusual = [escape(self.filter.text)] if self.filter else []
        unusual += [self.order.value] if self.order is not Order.NUMBER else []
        return ": ".join(["Trials", *([", ".join(unusual)] if unusual else [])])

    # ---- panes

    def watch_front(self, front: str) -> None:
        for pane, title in PANES:
            widget = self._pane(pane)
            if pane != "grid":
                widget.border_title = self._table_title if pane == "table" else title
            widget.set_class(pane == front, "-front")
        self._title_findings()
        self.query_one("#side").set_class(front != "grid", "-front")
        self.query_one(TrialLine).set_class(front == "detail", "-said")
        self._pane(front).focus()

    def watch_found(self) -> None:
        self._title_findings()

    def watch_axes(self) -> None:
        self._chart(self._shown, at_once=True)
        self._title_findings()

    def watch_panel_order(self) -> None:
        self._find_after = 0.0
        self._find_out()
        self._mark()
        self._title_findings()

    def watch_overlay(self) -> None:
        self._title_findings()

    @property
    def _about_plots(self) -> str:
        """How the plots are drawn where that is not as usual; or that another axis would show more."""
        words = [self.axes.words(self._shown)]
        words += [OVERLAYS[self.overlay]]
        words += [f"{self.panel_order}"] if self.panel_order is not PanelOrder.FILE else []
        rows = self.query_one(ScatterGrid).point_rows
        if not any(words) and self._tenth is not None and self._tenth * rows < 1 <= rows:
            words = ["best tenth in one row: y spreads it"]
        return "; ".join(word for word in words if word)

    def _title_findings(self) -> None:
        """Name the findings there are where they can be clicked: over their pane, or in the tabs."""
        tabs = [(f.id, f.title, f is self.finding) for f in self.there or (SCATTERPLOTS,)]
        self.query_one(PaneTabs).findings = tuple(tabs)
        about = self._about_plots if self.finding in (None, SCATTERPLOTS) else ""
        self.query_one(PaneTabs).plots = about
        shown = "  ".join(
            title
            if shown or len(tabs) == 1
            else f"[$quiet not bold][@click=screen.look_at('{id}')]{title}[/][/]"
            for id, title, shown in tabs
        )
        self._pane("grid").border_title = shown + (
            f"   [$warning not bold]{escape(about)}[/]" if about else ""
        )

    def _pane(self, name: str) -> Widget:
        """The widget of a pane; that of the plots shows whichever finding is chosen."""
        plots = self.finding is None or self.finding is SCATTERPLOTS
        return self.query_one("#finding" if name == "grid" and not plots else f"#{name}", Widget)

    def watch_finding(self, finding: Finding | None) -> None:
        plots = finding is None or finding is SCATTERPLOTS
        pane = self.query_one(FindingPane)
        self.query_one(ScatterGrid).set_class(not plots, "-off")
        pane.set_class(plots, "-off")
        if finding is not None:
            pane.finding = finding
        self.watch_front(self.front)

    def action_finding(self) -> None:
        """The next of the findings that this study has."""
        there = self.there
        if not there:
            return
        at = there.index(self.finding) if self.finding in there else -1
        self.action_look_at(there[(at + 1) % len(there)].id)
        if len(there) == 1:
            self.notify(f"{there[0].title} is all there is to see so far.")

    def action_look_at(self, finding: str) -> None:
        """Show the finding of this id."""
        self.finding = next(f for f in FINDINGS if f.id == finding)
        self.front = "grid"

    @property
    def there(self) -> tuple[Finding, ...]:
        """The findings that this study has, in their order."""
        return tuple(
            f
            for f in FINDINGS
            if (
                self.snapshot.search.kind != RATE_FINDER
                if f is SCATTERPLOTS
                else self.found.get(f.id) is not None
            )
        )

    def on_pane_tabs_picked(self, event: PaneTabs.Picked) -> None:
        if event.pane in dict(PANES):
            self.front = event.pane
        else:
            self.action_look_at(event.pane)

    def action_next_pane(self, by: int = 1) -> None:
        names = [pane for pane, _ in PANES]
        self.front = names[(names.index(self.front) + by) % len(names)]

    def action_previous_pane(self) -> None:
        self.action_next_pane(-1)

    def on_descendant_focus(self) -> None:
        """A click focuses a pane by itself; keep `front` true."""
        if self.focused is not None and self.focused.id in ("finding", *dict(PANES)):
            self.front = "grid" if self.focused.id == "finding" else self.focused.id

    # ---- selection

    class Measured(Message):
        """All measurements of a trial have been read."""

        def __init__(self, trial: int, steps: int, curves: Curves) -> None:
            super().__init__()
            self.trial = trial
            self.steps = steps
            self.curves = curves

    def watch_selected(self) -> None:
        self.curves = {}
        self._curves_of = None
        self.set_timer(CURVES_S, self._read_curves)

    def _read_curves(self) -> None:
        """Read every measurement of the selected trial, once it has been looked at for a moment."""
        trial = self.snapshot.trials.get(self.selected) if self.selected is not None else None
        if trial is None or len(trial.latest) < 2 or self._curves_of == (trial.number, trial.steps):
            return
        self._curves_of = (trial.number, trial.steps)
        number, steps = self._curves_of
        self.run_worker(
            lambda: self._read_curves_in_thread(number, steps), thread=True, exclusive=True, group="curves"
        )

    def _read_curves_in_thread(self, number: int, steps: int) -> None:
        curves: dict[str, list[tuple[int, float]]] = {}
        for event in self.source.measurements(number):
            for name, value in event.values.items():
                curves.setdefault(name, []).append((event.step, value))
        self.post_message(self.Measured(number, steps, curves))

    def on_study_screen_measured(self, event: Measured) -> None:
        if event.trial == self.selected:
            self.curves = event.curves
            self.set_timer(CURVES_AGAIN_S, self._read_curves)  # it may run, and measure more

    def action_move(self, by: int) -> None:
        self.selected = neighbour(self.rows, self.selected, by)

    def action_first(self) -> None:
        self.selected = self.rows[0] if self.rows else None

    def action_last(self) -> None:
        self.selected = self.rows[-1] if self.rows else None

    def action_page(self, by: int) -> None:
        """A page of the table moves the selection; the other panes scroll."""
        pane = self._pane(self.front)
        if isinstance(pane, TrialTable):
            self.action_move(by * max(1, pane.size.height - 2))
        elif by > 0:
            pane.scroll_page_down(animate=False)
        else:
            pane.scroll_page_up(animate=False)

    def action_columns(self, by: int) -> None:
        """Turn to another plot while one is maximised; else look further right in the table."""
        grid = self.query_one(ScatterGrid)
        if grid.maximised and grid.display:
            grid.turn(by)
            return
        self.query_one(TrialTable).scroll_relative(x=by * 12, animate=False)

    def action_maximise(self) -> None:
        """One plot alone, with the whole pane for it; or all of them again."""
        grid = self.query_one(ScatterGrid)
        self.action_look_at(SCATTERPLOTS.id)
        if grid.maximised:
            grid.maximised = None
        else:
            grid.turn(0)

    def action_y_axis(self) -> None:
        """The next spacing of the loss axis."""
        at = Y_SPACINGS.index(self.axes.y)
        self.axes = replace(self.axes, y=Y_SPACINGS[(at + 1) % len(Y_SPACINGS)])
        self._say_axes()

    def action_x_axis(self) -> None:
        """The next spacing of the hyperparameters' axes."""
        at = X_SPACINGS.index(self.axes.x)
        self.axes = replace(self.axes, x=X_SPACINGS[(at + 1) % len(X_SPACINGS)])
        self._say_axes()

    def action_measurement(self) -> None:
        """The next measurement as the y axis."""
        names = [name for name in Names.of(self.snapshot).measurements if name != self.snapshot.objective]
        if not names:
            self.notify(f"Nothing but {self.snapshot.objective} is measured.", markup=False)
            return
        names = ["", *names]
        at = names.index(self.axes.measurement) if self.axes.measurement in names else 0
        self.axes = replace(self.axes, measurement=names[(at + 1) % len(names)])
        self._say_axes()

    def _say_axes(self) -> None:
        self.action_look_at(SCATTERPLOTS.id)
        if self.has_class("-narrow"):
            self.notify(self.axes.words(self._shown) or "the usual axes", markup=False, timeout=2)

    def action_trend(self) -> None:
        """Medians over the points, the best of each bin alone, or all points."""
        self.overlay = following(self.overlay)
        self._memory.keep("overlay", self.overlay.value)

    def action_arrange(self) -> None:
        """The next order of the panels."""
        self.panel_order = following(self.panel_order)

    def action_side(self) -> None:
        """On a wide screen the plots can have the whole width."""
        body = self.query_one("#body")
        body.toggle_class("-alone")
        self._memory.keep("plots_alone", body.has_class("-alone"))

    def action_pixels(self) -> None:
        """Leave the terminal to the picture until a line is entered."""
        from ...view.pixels import NoPixels, show_pixels  # late: it asks the terminal, and brings matplotlib

        try:
            with self.app.suspend():
                show_pixels(self._shown)
                input("Enter: back to the screen ")
        except (NoPixels, SuspendNotSupported) as problem:
            self.notify(str(problem) or "A browser shows no other pixels than these.", severity="warning")

    def action_best(self) -> None:
        best = self._shown.best
        if best is None:
            hint = f" of those with {self.filter.text}" if self.filter else " yet"
            self.notify(f"No trial{hint} has finished, so none is the best.", markup=False)
            return
        self.selected = best.number

    def action_overview(self) -> None:
        self.selected = None

    def action_detail(self) -> None:
        if self.selected is None:
            self.action_first()
        self.front = "detail"

    def on_scatter_grid_picked(self, event: ScatterGrid.Picked) -> None:
        """The best of the trials there; a further click there takes the next.

        A mouse that rests marks a trial only while none was chosen by a click or a key.
        """
        trials = self.snapshot.trials
        there = sorted((n for n in event.trials if n in trials), key=lambda n: self.snapshot.rank(trials[n]))
        if event.rested:
            if there and self.selected in (None, self._pointed_at) and self.selected not in there:
                self._pointed_at = self.selected = there[0]
        elif there:
            chosen = self.selected if self.selected != self._pointed_at else None
            self._pointed_at = None
            at = there.index(chosen) + 1 if chosen in there else 0
            self.selected = there[at % len(there)]

    def on_scatter_grid_brushed(self, event: ScatterGrid.Brushed) -> None:
        """What was brushed is a further condition of the filter."""
        condition = brushed(event.scatter, event.low, event.high)
        before = self.filter.text if self.filter else ""
        before = f"({before}) and " if " or " in before else f"{before} and " if before else ""
        if condition:
            self.filter = parse(before + condition, Names.of(self.snapshot))
            self.notify("f shows all trials again; / edits the filter.", timeout=3)

    def on_rows_picked(self, event: Rows.Picked) -> None:
        if event.row < len(self.rows):
            self.selected = self.rows[event.row]
        if event.again:
            self.front = "detail"

    def action_show(self) -> None:
        """Failed trials, then running ones, then all: what is asked for most, without typing."""
        now = self.filter.text if self.filter else ""
        following_text = {"": FAILED, FAILED: RUNNING}.get(now, "")
        self.filter = parse(following_text, Names({}, ()))

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(FilterBar).open(self.filter, Names.of(self.snapshot))

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        self.filter = event.filter

    def on_filter_bar_closed(self) -> None:
        self._pane(self.front).focus()

    def action_sort(self) -> None:
        self.order = following(self.order)
        self._say_list()

    def _say_list(self) -> None:
        if self.has_class("-narrow") and self.front != "table":
            self.notify(f"Trials: {self.order.value}.", timeout=2)

    def action_mark(self) -> None:
        """Mark the selected trial to be compared, and go on to the next."""
        if self.selected is None:
            self.action_first()
        elif self.selected in self.marked or len(self.marked) < MOST:
            self.marked ^= {self.selected}
            self.action_move(1)
        else:
            self.notify(f"{MOST} trials side by side are enough; space takes a mark away.")

    def action_compare(self) -> None:
        """The marked trials side by side; else the selected one and the best."""
        numbers = sorted(n for n in self.marked if n in self.snapshot.trials)
        if len(numbers) < 2:
            best = self.snapshot.best
            numbers = [n for n in (self.selected, best and best.number) if n is not None]
        if len(set(numbers)) < 2:
            self.notify("Mark two trials or more with space, or select one that is not the best.")
            return
        self.app.push_screen(Compare(self.snapshot, numbers, now=self.now))

    def action_copy(self) -> None:
        """The selected trial's parameters as options, into the clipboard of the terminal that one sits at."""
        trial = self.snapshot.trials.get(self.selected) if self.selected is not None else None
        if trial is None:
            self.notify("Select a trial to copy its parameters.", severity="warning")
            return
        self.app.copy_to_clipboard(settings(trial, spell))
        self.notify("Copied as --set options, where the terminal lets programs do so (OSC 52).")

    def action_next_failure(self) -> None:
        """The first trial of the next kind of failure."""
        kinds = [kind for group in failure_groups(self._shown) for kind in group.kinds]
        if not kinds:
            self.notify("Nothing has failed here.")
            return
        held = [i for i, kind in enumerate(kinds) if any(t.number == self.selected for t in kind.trials)]
        self.selected = kinds[(held[0] + 1) % len(kinds) if held else 0].trials[0].number

    class Proposed(Message):
        """What the next search could be with crash regions kept and cut, or why there is none."""

        def __init__(self, kept: Proposal | None, cut: Proposal | None, why: str = "") -> None:
            super().__init__()
            self.kept = kept
            self.cut = cut
            self.why = why

    def action_narrow(self) -> None:
        """A new search of the space that the filter leaves, or that the trials propose; shown first."""
        if self.filter is None:
            self.run_worker(self._propose, thread=True, exclusive=True, group="narrow")
            return
        try:
            search = narrowed(self._shown, self.filter)
        except ValueError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self._show_narrower(search, f"The space of {self.source.name} where {self.filter.text}.", {})

    def _propose(self) -> None:
        """In a thread: importance takes a moment, and brings numpy."""
        from ...analysis.next_search import proposal

        try:
            kept, cut = (proposal(self.snapshot, crashes=crashes) for crashes in (Crashes.KEEP, Crashes.CUT))
        except ValueError as error:
            self.post_message(self.Proposed(None, None, f"{error} A filter (/) chooses a part by hand."))
        else:
            self.post_message(self.Proposed(kept, cut))

    def on_study_screen_proposed(self, event: Proposed) -> None:
        """Crash regions are a person's choice, where there are any."""
        if event.kept is None or event.cut is None:
            self.notify(event.why, severity="warning", markup=False)
            return
        kept, cut = event.kept, event.cut
        if kept.search == cut.search:
            self._show_proposal(kept)
            return
        names = ", ".join(s.hyperparameter.name for s in kept.steps if any(c.left for c in s.crashes))
        options = (
            Option("keep", "k", "keep", "the best trials may lie at their edge"),
            Option("cut", "c", "cut", "fewer trials fail"),
        )
        sentence = f"Failed trials crowd at some values of {one_line(names)}. Are these searched again?"
        self.app.push_screen(
            ChoiceDialog("A narrowed search", sentence, options),
            lambda answer: self._show_proposal(cut if answer == "cut" else kept) if answer else None,
        )

    def _show_proposal(self, found: Proposal) -> None:
        from ...view.next_search import heading, reasons

        said = heading(found, self.source.name, self.snapshot.objective)
        why = {step.hyperparameter.name: reasons(step) for step in found.steps}
        self._show_narrower(found.search, " ".join(said), why)

    def _show_narrower(self, search: Search, sentence: str, reasons: Mapping[str, tuple[str, ...]]) -> None:
        form = SearchForm(
            "A narrowed search", self.snapshot.search, proposed=search, draw=self._doors.draw,
            act=lambda answer: self._doors.start(answer.search, None, answer.gpus),
            sentence=f"{sentence} ^s saves it as a file.", reasons=reasons,
        )  # fmt: skip
        self.app.push_screen(form, self._narrowed)

    def _narrowed(self, answer: Answer | None) -> None:
        if answer is not None:
            self.notify("Started: esc shows it among the studies.")

    def action_log(self) -> None:
        if self.source.files is not None:
            self.app.push_screen(LogScreen(self.source.files, self.selected))

    def action_help(self) -> None:
        self.app.push_screen(Help(STUDY, self.possible))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Keys that can do nothing for this study, such as `stop` where another program runs it, are off."""
        return action not in _NEEDY or action in self._offered

    # ---- leaving

    def on_unmount(self) -> None:
        if self.tail.caught_up:
            self._memory.keep_look(self.source.address, Look.at(self.tail.snapshot))

    def action_back(self) -> None:
        self.post_message(self.Left())

    def action_detach(self) -> None:
        self.app.exit(message=self.parting_words())

    def parting_words(self) -> str | None:
        """What stands in the terminal after leaving: the sweep does not end with its screen."""
        if self._staffed():
            return f"{self.source.name} goes on; `tuner` attaches again"
        return None
