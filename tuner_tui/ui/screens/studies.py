"""The list of studies under one root and their states: the first screen.

Journals are read in slices, the newest study first, and again only when they have grown. So a root with a hundred
studies is shown at once and then filled in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Middle
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from ...search.search import Search
from ...sources.journal import JournalSource
from ...sources.source import Source
from ...study.folder import StudyBusy, StudyFolder, delete_study, list_studies
from ...study.state import State
from ...study.text import printable
from ...view.words import plural
from ..detail_text import study_text
from ..doors import Doors
from ..keys import LIST, bindings
from ..memory import Memory
from ..tail import SLICE_S, StudyTail
from ..widgets.key_line import KeyLine
from ..widgets.rows import Rows
from ..widgets.study_list import StudyList, StudyRow, since_words
from .choice import ChoiceDialog, Option
from .help import Help
from .new_study import NewStudy, Picked
from .search_form import Answer, SearchForm

POLL_S = 0.5  # a list is glanced at; a study screen looks more often

NOTHING_YET = Content.from_markup(
    "[b]No studies yet.[/b]\n\n"
    "Press [b $primary]n[/] to start the built-in [b]caption[/b] search,\n"
    "or one of your own: a search file like this.\n\n"
    "[$quiet]"
    'name = "my-search"\n'
    'target = "my_module:train"\n'
    'objective = "loss"\n\n'
    "\\[space]\n"
    "lr = { log = \\[1e-5, 1e-1] }[/]"
)


class StudiesScreen(Screen[None]):
    """The list of studies."""

    BINDINGS = bindings(LIST)
    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-high")]  # noqa: RUF012
    AUTO_FOCUS = "#studies"

    studies: reactive[tuple[StudyRow, ...]] = reactive((), always_update=True, repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)

    class Chosen(Message):
        """A person wants to see a study."""

        def __init__(self, tail: StudyTail) -> None:
            super().__init__()
            self.tail = tail

    class ResumeFailed(Message):
        """A study could not be resumed, and why."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    def __init__(
        self,
        root: Path,
        doors: Doors,
        *,
        clock: Callable[[], float],
        memory: Memory,
        opened: Source | None = None,
    ) -> None:
        """`opened`: a study that the person named, listed first if it lies outside the root."""
        super().__init__()
        self._root = root
        self._doors = doors
        self.memory = memory
        self._wanted = ""  # only studies with this in their name or state
        self._clock = clock
        at_home = isinstance(opened, JournalSource) and opened.folder.path.parent == root
        self._opened = None if at_home else opened
        self.tails: dict[str, StudyTail] = {}  # by address
        self._previewed: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="list-head")
        yield Input(placeholder="part of a name, or a state", compact=True, id="list-filter")
        yield StudyList(id="studies").data_bind(StudiesScreen.studies, StudiesScreen.now)
        yield Static(id="preview")
        with Middle(id="nothing"):
            yield Static(NOTHING_YET, id="nothing-text")
        yield KeyLine(LIST, id="keys")

    def on_mount(self) -> None:
        self._look()
        self.set_interval(POLL_S, self._look)

    def on_screen_resume(self) -> None:
        self._look()

    def tail_of(self, source: Source) -> StudyTail:
        """The one tail of a study: what the list has read the study's own screen need not read again."""
        if source.address not in self.tails:
            self.tails[source.address] = StudyTail(source)
        return self.tails[source.address]

    def _sources(self) -> list[Source]:
        """What there is to list. Raises OSError when a study vanishes between two looks."""
        found: list[Source] = [JournalSource(folder) for folder in list_studies(self._root)]
        return [self._opened, *found] if self._opened is not None else found

    def _look(self) -> None:
        if self.app.screen is not self and self.studies:  # nobody sees it
            return
        try:
            sources = self._sources()
        except OSError:
            return  # the next look will do
        for address in set(self.tails) - {source.address for source in sources}:
            del self.tails[address]
        deadline = time.monotonic() + SLICE_S
        behind = False
        rows: list[StudyRow] = []
        for source in sources:
            tail = self.tail_of(source)
            if time.monotonic() < deadline:
                tail.advance(deadline - time.monotonic())
            else:
                tail.glance()
            behind = behind or not tail.caught_up
            share = 1.0 if tail.caught_up else tail.share_read
            look = self.memory.look(source.address)
            rows.append(
                StudyRow(
                    source.name, source.address, tail.state(), tail.snapshot, tail.extent.touched, share, look
                )
            )  # fmt: skip
        rows = [row for row in rows if self._wanted in f"{row.name} {row.state}".lower()]
        self.now = self._clock()
        chosen = self._chosen_address()
        self.studies = tuple(rows)
        self._keep_cursor(chosen)
        self._head()
        if behind:
            self.set_timer(0.001, self._look)

    def _head(self) -> None:
        running = sum(row.state is State.RUNNING for row in self.studies)
        self.query_one("#list-head", Static).update(self._head_text(running))
        self._preview()
        self.query_one("#nothing", Widget).display = not self.studies
        self.query_one("#studies", Widget).display = bool(self.studies)

    def _head_text(self, running: int) -> Content:
        amount = len(self.studies)
        words = f"  {amount} {'study' if amount == 1 else 'studies'} in {self._root.name}/" if amount else ""
        live = f" · {running} running" if running else ""
        only = f"  only those with {printable(self._wanted)}" if self._wanted else ""
        return Content.assemble(
            ("tuner", "bold $primary"), (words, "$quiet"), (live, "$success"), (only, "$warning")
        )

    def _preview(self) -> None:
        """What the study under the cursor searches, and what failed why."""
        cursor = self.query_one(StudyList).cursor
        preview = self.query_one("#preview", Static)
        if cursor is None or cursor >= len(self.studies):
            preview.display = False
            return
        preview.display = True
        row = self.studies[cursor]
        shown = (row.address, row.state, row.snapshot.version, self.size.width)
        if shown != self._previewed:
            self._previewed = shown
            since = since_words(row.look, row.snapshot)
            about = study_text(row.name, row.snapshot, row.state, width=self.size.width - 2)
            news = Content.styled(f"since you last looked: {since}", "$success")
            preview.update(Content("\n").join([news, about]) if since else about)

    # ---- the cursor

    def _chosen_address(self) -> str | None:
        cursor = self.query_one(StudyList).cursor
        return self.studies[cursor].address if cursor is not None and cursor < len(self.studies) else None

    def _keep_cursor(self, address: str | None) -> None:
        """Studies change places as they are worked on; the cursor stays with its study."""
        addresses = [row.address for row in self.studies]
        if address in addresses:
            self.query_one(StudyList).move_cursor(addresses.index(address))

    def action_move(self, by: int) -> None:
        rows = self.query_one(StudyList)
        if rows.row_count:
            rows.move_cursor(min(rows.row_count - 1, max(0, (rows.cursor or 0) + by)))
            self._preview()

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.query_one(StudyList).size.height - 2))

    def action_first(self) -> None:
        self.action_move(-len(self.studies))

    def action_last(self) -> None:
        self.action_move(len(self.studies))

    def _chosen(self) -> StudyTail | None:
        address = self._chosen_address()
        return self.tails.get(address) if address else None

    # ---- what can be done

    def action_attach(self) -> None:
        if tail := self._chosen():
            self.post_message(self.Chosen(tail))

    def on_rows_picked(self, event: Rows.Picked) -> None:
        self.query_one(StudyList).move_cursor(event.row)
        self._preview()
        if event.again:
            self.action_attach()

    def action_new(self) -> None:
        self.app.push_screen(NewStudy(self._doors.find_lr), self._picked)

    def _picked(self, picked: Picked | None) -> None:
        if picked is None:
            return
        if picked.started is not None:
            self._open(picked.started)
        elif picked.search is not None:
            self._form("New study", picked.search, picked.file)

    def _form(self, title: str, search: Search, file: Path | None) -> None:
        """Show the search, let it be changed, start it, and look at it."""
        started: list[StudyFolder] = []

        def start(answer: Answer) -> None:
            as_it_stands = None if answer.changed else file
            started.append(self._doors.start(answer.search, as_it_stands, answer.gpus))

        form = SearchForm(f"{title}: {printable(search.name)}", search, draw=self._doors.draw, act=start)
        self.app.push_screen(form, lambda answer: self._open(started[-1]) if answer and started else None)

    def _open(self, folder: StudyFolder) -> None:
        self.post_message(self.Chosen(self.tail_of(JournalSource(folder))))

    def action_duplicate(self) -> None:
        """A new study of the same search, which can be changed first."""
        tail = self._chosen()
        if tail is None:
            return
        if not tail.snapshot.search.runs or tail.source.desk is None:
            self.notify(f"{tail.source.name} can't be run from here: another program runs it.", markup=False)
            return
        self._form("Like", tail.snapshot.search, None)

    def action_delete(self) -> None:
        """Remove a study for good, when a person has said so."""
        tail = self._chosen()
        if tail is None:
            return
        name = tail.source.name
        if not isinstance(tail.source, JournalSource):
            self.notify(f"{name} belongs to another program.", markup=False)
            return
        if tail.state() is State.RUNNING:
            self.notify(f"{name} is running; stop it first.", severity="warning", markup=False)
            return
        ended = tail.snapshot.counts.ended
        sentence = (
            f"Its journal, {plural(ended, 'trial')} with their logs and artifacts, and its reports are lost "
            "for good. Its runs in MLflow stay."
        )
        options = (
            Option("", "c", "cancel", "Nothing is deleted."),
            Option("delete", "d", "delete", "There is no way back."),
        )
        folder = tail.source.folder
        dialog = ChoiceDialog(f"Delete {name}?", sentence, options)
        self.app.push_screen(dialog, lambda choice: self._delete(folder) if choice else None)

    def _delete(self, folder: StudyFolder) -> None:
        try:
            delete_study(folder)
        except (OSError, StudyBusy) as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"{folder.name} is deleted.", markup=False)
        self._look()

    def action_filter(self) -> None:
        """Type what the names or states of the listed studies must hold."""
        bar = self.query_one("#list-filter", Input)
        bar.add_class("-open")
        bar.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wanted = event.value.strip().lower()
        self._look()

    def on_input_submitted(self) -> None:
        self.action_close_filter()

    def action_close_filter(self) -> None:
        """Back to the list; an empty filter goes away."""
        bar = self.query_one("#list-filter", Input)
        bar.set_class(bool(self._wanted), "-open")
        self.query_one(StudyList).focus()

    def key_escape(self) -> None:
        """Escape takes the filter away."""
        self.query_one("#list-filter", Input).value = ""
        self.action_close_filter()

    def action_resume(self) -> None:
        tail = self._chosen()
        if tail is None:
            return
        name, state = tail.source.name, tail.state()
        if tail.source.desk is None:
            self.notify(f"{name} can only be looked at: another program runs it.")
            return
        if not state.resumable:
            why = "an engine runs it already" if state is State.RUNNING else "every planned trial has ended"
            self.notify(f"Nothing to resume in {name}: {why}.")
            return
        self.notify(f"Resuming {name}.")
        self.run_worker(lambda: self._resume_in_thread(tail.source), thread=True, exit_on_error=False)

    def _resume_in_thread(self, source: Source) -> None:
        try:
            self._doors.resume(source)
        except Exception as error:
            self.post_message(self.ResumeFailed(str(error)))

    def on_studies_screen_resume_failed(self, event: ResumeFailed) -> None:
        self.notify(event.why, title="It does not resume", severity="error", timeout=15)

    def action_help(self) -> None:
        self.app.push_screen(Help(LIST))

    def action_detach(self) -> None:
        self.app.exit(message=self.parting_words())

    def parting_words(self) -> str | None:
        """What is printed after the screen has closed; None for nothing."""
        outside = self._opened.address if self._opened and self._opened.desk is None else None
        running = [row.name for row in self.studies if row.state is State.RUNNING and row.address != outside]
        if not running:
            return None
        goes = "goes on" if len(running) == 1 else "go on"
        return f"{', '.join(running)} {goes}; `tuner` attaches again"
