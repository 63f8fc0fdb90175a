"""One study: its counts, the scatterplots, the trials, and the selected trial in all of them.

What is read and found comes from `following.py`, the actions on the sweep from `sweep.py`; this screen extends both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult, SuspendNotSupported
from textual.containers import Horizontal, Vertical
from textual.markup import escape
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from ...analysis.difference import settings
from ...analysis.failures import failure_groups
from ...analysis.filter import FAILED, RUNNING, Names, parse
from ...analysis.narrowing import Crashes, narrowed
from ...analysis.order import Order, arrange, following, neighbour
from ...search.search import RATE_FINDER, Search
from ...search.write import spell
from ...study.text import one_line
from ...view.axes import X_SPACINGS, Y_SPACINGS, Overlay
from ...view.brush import brushed
from ...view.findings import FINDINGS, SCATTERPLOTS, Finding
from ...view.panels import PanelOrder
from ..doors import Doors
from ..keys import STUDY, bindings, keys_for
from ..memory import Look, Memory
from ..tail import StudyTail
from ..widgets.counts import Counts
from ..widgets.detail import Curves, Detail
from ..widgets.filter_bar import FilterBar
from ..widgets.finding_pane import FindingPane
from ..widgets.grid import ScatterGrid
from ..widgets.key_line import KeyLine
from ..widgets.pane_tabs import PANES, PaneTabs
from ..widgets.rows import Rows
from ..widgets.trial_line import TrialLine
from ..widgets.trial_table import TrialTable
from .choice import ChoiceDialog, Option
from .compare import MOST, Compare
from .following import LONG_BYTES, POLL_S, FollowingScreen
from .help import Help
from .log import LogScreen
from .search_form import Answer, SearchForm

if TYPE_CHECKING:
    from ...analysis.next_search import Proposal

CURVES_S = 0.3  # a trial has been selected for so long when all it measured is read
CURVES_AGAIN_S = 3.0
NARROW = 110  # cells; below, only one pane fits beside itself
OVERLAYS = {
    Overlay.POINTS: "",
    Overlay.MEDIANS: "medians and quartiles",
    Overlay.BEST: "the best near each value",
}
_NEEDY = {key.act for key in keys_for(STUDY) if key.needs}


class StudyScreen(FollowingScreen):
    """One study, followed live."""

    BINDINGS = bindings(STUDY)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-low"), (32, "-high")]  # noqa: RUF012
    AUTO_FOCUS = "#grid"

    rows: reactive[tuple[int, ...]] = reactive((), repaint=False)
    front: reactive[str] = reactive("grid", init=False, repaint=False)
    curves: reactive[Curves] = reactive(dict, init=False, repaint=False)  # of the selected trial
    overlay: reactive[Overlay] = reactive(Overlay.POINTS, init=False, repaint=False)
    order: reactive[Order] = reactive(Order.NUMBER, init=False, repaint=False)

    class Left(Message):
        """A person wants the list of studies back."""

    def __init__(self, tail: StudyTail, doors: Doors, *, memory: Memory, clock: Callable[[], float]) -> None:
        super().__init__(tail, doors, clock=clock)
        self._offered = {key.act for key in keys_for(STUDY, self.possible)}
        self._memory = memory
        self._curves_of: tuple[int, int] | None = None  # trial and steps whose measurements were read
        self._pointed_at: int | None = None  # the trial that the mouse came to rest on

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
