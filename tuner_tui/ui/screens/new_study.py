"""Which search to start: a built-in one or a search file. It shows what is wrong with the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ...search.problems import SearchError
from ...search.search import Search
from ...study.folder import StudyFolder
from ...study.text import printable
from ..widgets.problem import Problem

_READ_BYTES = 4096  # of a TOML file, to see whether it is a search: tables come early


class SearchLine(Static):
    """One search that can be started; a click puts it into the field."""

    def __init__(self, text: str, about: str) -> None:
        super().__init__(classes="option")
        self.text = text
        self.update(Content.assemble((f" {text:<16}", "bold"), (f" {about}", "$quiet")))

    def on_click(self) -> None:
        screen = self.screen
        if isinstance(screen, NewStudy):
            screen.propose(self.text)


@dataclass(frozen=True)
class Picked:
    """A search and where it was read from; or the study of a finder that was started."""

    search: Search | None = None
    file: Path | None = None
    started: StudyFolder | None = None


class NewStudy(ModalScreen[Picked | None]):
    """Returns what was picked, or None. The search itself is started by the form that comes next."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "cancel", "cancel"),
        Binding("ctrl+l", "find_lr", "find a learning rate", priority=True),
        Binding("down", "move(1)", "next", priority=True),
        Binding("up", "move(-1)", "previous", priority=True),
    ]

    class Launched(Message):
        """An engine was started."""

        def __init__(self, folder: StudyFolder) -> None:
            super().__init__()
            self.folder = folder

    class LaunchFailed(Message):
        """The engine could not be started, and why."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    def __init__(self, find_lr: Callable[[str], StudyFolder]) -> None:
        super().__init__()
        self._find_lr = find_lr
        self._choices = [*own_searches(Path.cwd()), *builtins()]
        self._at = 0
        self._starting = False

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "New study"
            first = self._choices[0][0] if self._choices else ""
            yield Input(first, placeholder="name or path of a search file", id="search", select_on_focus=True)
            with VerticalScroll(id="choices"):
                for text, about in self._choices:
                    yield SearchLine(text, about)
            yield Problem()
            yield Static(id="dialog-keys")

    def on_mount(self) -> None:
        self.query_one("#choices").can_focus = False
        self.query_one("#search").focus()
        self._mark()
        self._say("⏎ looks at it, then starts · ^l finds a learning rate · ↑↓ chooses · esc cancels")

    def _say(self, text: str) -> None:
        self.query_one("#dialog-keys", Static).update(Content(text))

    def _mark(self) -> None:
        typed = self.query_one("#search", Input).value
        for line in self.query(SearchLine):
            line.set_class(line.text == typed, "-at")

    def propose(self, text: str) -> None:
        """Put a search into the field."""
        field = self.query_one("#search", Input)
        field.value = text
        field.cursor_position = len(text)
        self._mark()

    def action_move(self, by: int) -> None:
        if self._choices:
            self._at = (self._at + by) % len(self._choices)
            self.propose(self._choices[self._at][0])

    def on_input_changed(self) -> None:
        self._mark()

    def on_input_submitted(self) -> None:
        text = self.query_one("#search", Input).value.strip()
        if not text or self._starting:
            return
        from ...search.builtin import find_search
        from ...search.file import load_search

        try:
            file = find_search(text, Path.cwd())
            if file.is_relative_to(Path.cwd()):
                file = file.relative_to(Path.cwd())  # mistakes name the file as it was typed
            self.dismiss(Picked(load_search(file), file))
        except SearchError as error:
            self._complain(str(error))

    def action_find_lr(self) -> None:
        """A finder's curve before the sweep: a study of its own, which is then looked at."""
        self._begin(self._find_lr)

    def _begin(self, start: Callable[[str], StudyFolder]) -> None:
        text = self.query_one("#search", Input).value.strip()
        if not text or self._starting:
            return
        self._starting = True
        self.query_one(Problem).say("")
        self._say(f"starting {printable(text)} …")
        self.run_worker(lambda: self._start_in_thread(start, text), thread=True, exit_on_error=False)

    def _start_in_thread(self, start: Callable[[str], StudyFolder], text: str) -> None:
        """A process is started here, which takes a while; a thread may only post what came of it."""
        try:
            folder = start(text)
        except Exception as error:
            self.post_message(self.LaunchFailed(str(error) or type(error).__name__))
        else:
            self.post_message(self.Launched(folder))

    def on_new_study_launched(self, event: Launched) -> None:
        self.dismiss(Picked(started=event.folder))

    def on_new_study_launch_failed(self, event: LaunchFailed) -> None:
        self._starting = False
        self._complain(event.why)

    def _complain(self, why: str) -> None:
        self.query_one(Problem).say(why)
        self._say("mend it and press ⏎ again · esc cancels")

    def action_cancel(self) -> None:
        self.dismiss(None)


def builtins() -> list[tuple[str, str]]:
    """(name, first line of its comment) of the searches that come with the tuner."""
    from ...search.builtin import builtin_searches

    return [(name, _about(path) or "built in") for name, path in builtin_searches().items()]


def own_searches(folder: Path) -> list[tuple[str, str]]:
    """The search files that lie in a folder: TOML with a space to search."""
    found = []
    # What is called as `tuner sweep` looks for it comes first.
    for path in sorted(folder.glob("*.toml"), key=lambda path: (path.name != "tuner.toml", path.name)):
        try:
            head = path.read_bytes()[:_READ_BYTES].decode("utf-8", errors="replace")
        except OSError:
            continue
        if "[space" in head:
            found.append((path.name, _about(path) or "in this folder"))
    return found


def _about(path: Path) -> str:
    """The comment a search file opens with, its first line."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            line = file.readline(200)
    except OSError:
        return ""
    return printable(line.lstrip("# ").strip()) if line.startswith("#") else ""
