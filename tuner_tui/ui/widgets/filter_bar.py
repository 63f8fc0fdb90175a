"""The line in which a filter is typed: it filters as one types, completes names, and points at what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.widgets import Input, Static

from ...analysis.filter import Filter, FilterError, Names, completions, parse
from ...study.text import printable

APPLY_S = (
    0.15  # a filter is applied when the keyboard has been quiet so long: charting a long study takes as much
)
_PROMPT = "filter "
_HINT = "⏎ keep it   esc as before   → complete   such as: lr < 1e-3 and failed"


class _Completion(Suggester):
    """What stands in grey behind the cursor: the rest of a name."""

    def __init__(self, bar: FilterBar) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._bar = bar

    async def get_suggestion(self, value: str) -> str | None:
        found = completions(value, self._bar.names)
        return found[0] if found else None


class FilterBar(Vertical):
    """Hidden until `open` is called; then it has the keyboard until ⏎ or esc."""

    BINDINGS = [Binding("escape", "give_up", "as before")]  # noqa: RUF012

    said: reactive[str] = reactive("", init=False)  # how many trials the filter lets through

    @dataclass
    class Changed(Message):
        """Another filter holds from now on; None: none."""

        filter: Filter | None

    @dataclass
    class Closed(Message):
        """The keyboard is free again."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.names = Names({}, ())
        self._before: Filter | None = None
        self._now: Filter | None = None
        self._problem: FilterError | None = None
        self._pending = 0

    def compose(self) -> ComposeResult:
        yield Static(_PROMPT, id="filter-prompt")
        yield Input(id="filter-text", compact=True, suggester=_Completion(self), select_on_focus=False)
        yield Static(id="filter-said")

    def open(self, filter: Filter | None, names: Names) -> None:
        """Take the keyboard, with the filter that holds now as the text to begin with."""
        self.names, self._before, self._now, self._problem = names, filter, filter, None
        box = self.query_one(Input)
        with self.prevent(Input.Changed):
            box.value = filter.text if filter else ""
        box.cursor_position = len(box.value)
        self.add_class("-open")
        box.focus()
        self._say()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            found, self._problem = parse(event.value, self.names), None
        except FilterError as error:
            self._problem = error
        else:
            self._now = found
            self._pending += 1
            self.set_timer(APPLY_S, lambda n=self._pending: self._apply(n))
        self._say()

    def _apply(self, number: int) -> None:
        if number == self._pending and self.has_class("-open"):
            self.post_message(self.Changed(self._now))

    def watch_said(self) -> None:
        if self.is_mounted:
            self._say()

    def _say(self) -> None:
        """Under the text: a mark at the place of the mistake and what it is, or how many trials are left."""
        line = self.query_one("#filter-said", Static)
        if self._problem is not None:
            left = " " * (len(_PROMPT) + self._problem.at)
            line.update(Content.styled(f"{left}^ {printable(str(self._problem))}", "$text-error"))
        else:
            words = [(f"{self.said}   ", "$foreground")] if self.said else []
            line.update(Content.assemble(" " * len(_PROMPT), *words, (_HINT, "$quiet")))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._problem is None:
            self._close(self._now)

    def action_give_up(self) -> None:
        self._close(self._before)

    def _close(self, filter: Filter | None) -> None:
        self._pending += 1
        self.remove_class("-open")
        self.post_message(self.Changed(filter))
        self.post_message(self.Closed())
