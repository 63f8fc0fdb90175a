"""A search as a form: its space in a table, each line editable, what is wrong beside it, and the first trials drawn.

It starts a new study, or changes one that runs. What it returns are `key=value` settings, as `--set` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ...search.file import parse_search
from ...search.problems import SearchError, dotted
from ...search.sampling import SAMPLERS
from ...search.schema import save_search_file
from ...search.search import Search
from ...search.space import Space
from ...search.write import spell, spell_hyperparameter, to_toml
from ...study.text import printable
from ...view.words import parameter
from ..widgets.problem import Problem

DRAWN = 10  # trials of the preview
DRAW_S = 0.3  # the keyboard has been quiet for so long when trials are drawn


@dataclass(frozen=True)
class Field:
    """One line of the form. `was`: what it says in the search; `now`: what the form begins with; `hint`: what else it
    could be; `why`: why it is proposed."""

    key: str
    was: str
    now: str
    group: str = ""
    hint: str = ""
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a person decided: the search, whether and how it was changed, and the GPUs."""

    search: Search
    settings: tuple[str, ...]
    gpus: str = "auto"
    dropped: tuple[str, ...] = ()  # hyperparameters and fixed values that it no longer has

    @property
    def changed(self) -> bool:
        """Whether the search is another than the form began with."""
        return bool(self.settings or self.dropped)


class Line(Horizontal):
    """A key, its value in a field, and what is wrong with it or what it was."""

    def __init__(self, field: Field, width: int) -> None:
        super().__init__(classes="form-line")
        self.field = field
        self._width = width

    def compose(self) -> ComposeResult:
        yield Static(Content(printable(self.field.key).ljust(self._width)), classes="form-key")
        yield Input(self.field.now, compact=True, classes="form-value", select_on_focus=False)
        yield Static("", classes="form-said")

    @property
    def value(self) -> str:
        """What is typed."""
        return self.query_one(Input).value.strip()

    @property
    def key(self) -> str:
        """What a message about this line names."""
        return self.field.key

    @property
    def setting(self) -> str | None:
        """key=value where it is not as it was."""
        return f"{self.field.key}={self.value}" if self.value not in ("", self.field.was) else None

    @property
    def emptied(self) -> bool:
        """Whether nothing stands where something stood."""
        return not self.value and bool(self.field.was)

    @property
    def about(self) -> str:
        """What it was, or could be."""
        if self.emptied:
            return f"left out; was {self.field.was}"
        return f"was {self.field.was}" if self.setting else self.field.hint

    @property
    def why(self) -> tuple[str, ...]:
        """Why it says what it says; () where a person has changed it."""
        return self.field.why if self.value == self.field.now else ()

    def say(self, problem: str) -> None:
        """Show what is wrong, or else what is known of this line."""
        tone = "$text-error" if problem else "$quiet"
        said = Content.styled(printable(problem or self.about), tone)
        self.query_one(".form-said", Static).update(said)


class NewLine(Line):
    """A field for one more hyperparameter or fixed value, as `name = value`."""

    def __init__(self, width: int) -> None:
        super().__init__(
            Field("+", "", "", hint="one more: name = { log = [1e-4, 0.1] }, or name = 3"), width
        )

    @property
    def key(self) -> str:
        """The name that is typed."""
        return self.value.partition("=")[0].strip().strip("\"'")

    @property
    def setting(self) -> str | None:
        """As `--set` takes it: a table or a list is drawn from, anything else is fixed."""
        value = self.value.partition("=")[2].strip()
        table = "space" if value[:1] in ("{", "[") else "fixed"
        return f"{dotted((table, self.key))}={value}" if self.value else None

    @property
    def about(self) -> str:
        """What could be written here."""
        return self.field.hint


class SearchForm(ModalScreen[Answer | None]):
    """Returns what was decided, or None."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "cancel", "cancel"),
        Binding("down", "app.focus_next", "next", priority=True),
        Binding("up", "app.focus_previous", "previous", priority=True),
        Binding("ctrl+s", "save", "save", priority=True),
    ]

    class Drawn(Message):
        """The first trials of the search as it is now."""

        def __init__(self, number: int, trials: Sequence[dict[str, Any]], why: str) -> None:
            super().__init__()
            self.number = number
            self.trials = trials
            self.why = why

    class Failed(Message):
        """It could not be done, and why."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    class Done(Message):
        """It was done."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    def __init__(
        self,
        title: str,
        search: Search,
        *,
        draw: Callable[[Search, int], Sequence[dict[str, Any]]],
        act: Callable[[Answer], object],
        keys: Sequence[str] = ("trials", "parallel", "seed", "sampler"),
        gpus: bool = True,
        reshape: bool = True,
        proposed: Search | None = None,
        verb: str = "start",
        sentence: str = "",
        drawn: str = "the first trials",
        reasons: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        """`keys`: of the file, beside the space. `reshape`: whether hyperparameters may come and go. `proposed`: what
        the form begins with, where it is not `search`, and `reasons` for it by hyperparameter, which a saved file has
        as comments. `act` carries out what was decided; what it raises is shown, and the form stays."""
        super().__init__()
        self._title = title
        self._search = search
        self._draw = draw
        self._act = act
        self._verb = verb
        self._sentence = sentence
        self._gpus = gpus
        self._reshape = reshape
        self._drawn = drawn
        self._fields = _fields(search, proposed or search, keys, reasons)
        self._width = max((len(field.key) for field in self._fields), default=8) + 1
        self._source = str(Path(search.folder or ".") / "search.toml")
        self._now: Search | None = search
        self._pending = 0
        self._busy = False

    def compose(self) -> ComposeResult:
        width = self._width
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            if self._sentence:
                yield Static(Content(self._sentence), id="dialog-sentence")
            with VerticalScroll(id="form"):
                group = ""
                for field in self._fields:
                    if field.group != group:
                        group = field.group
                        yield Static(Content.styled(printable(group) or " ", "$secondary"))
                    yield Line(field, width)
                if self._reshape:
                    yield NewLine(width)
                if self._gpus:
                    yield Static(" ")
                    yield Line(Field("gpus", "auto", "auto"), width)
            yield Static(id="drawn")
            yield Problem()
            yield Static(id="dialog-keys")

    def on_mount(self) -> None:
        self.query_one("#form").can_focus = False
        self.query(Input).first().focus()
        self._check()

    def on_descendant_focus(self) -> None:
        """The reason for the line that the cursor is in, in place of what the form is about."""
        line = self.focused.parent if self.focused is not None else None
        if isinstance(line, Line) and self._sentence:
            why = f"{line.field.key}: {'; '.join(line.why)}." if line.why else self._sentence
            self.query_one("#dialog-sentence", Static).update(Content(printable(why)))

    @property
    def _lines(self) -> list[Line]:
        return [line for line in self.query(Line) if line.field.key != "gpus"]

    @property
    def _settings(self) -> tuple[str, ...]:
        return tuple(setting for line in self._lines if (setting := line.setting))

    @property
    def _emptied(self) -> tuple[str, ...]:
        return tuple(line.field.key for line in self._lines if line.emptied)

    async def on_input_changed(self) -> None:
        new = list(self.query(NewLine))
        if new and all(line.value for line in new):  # there is always room for one more
            await self.query_one("#form").mount(NewLine(self._width), after=new[-1])
        self._check()

    def _check(self) -> None:
        """Read the search as it is typed now; say of each line what is wrong with it."""
        problems: dict[str, str] = {}
        names = {*self._search.space.names, *self._search.fixed}
        for key in self._emptied:
            if key not in names or not self._reshape:
                problems[key] = (
                    "write a value" if key not in names else "a running sweep keeps it; write a value"
                )
        try:
            left = without(self._search, () if problems else self._emptied)
            self._now = parse_search(to_toml(left), self._source, self._settings)
        except SearchError as error:
            for problem in error.problems:
                key = problem.key.rpartition(".")[2] if problem.key not in self._keys else problem.key
                problems.setdefault(key, problem.message)
        if problems:
            self._now = None
        for line in self.query(Line):
            line.say(problems.pop(line.key, ""))
        self.query_one(Problem).say("\n".join(f"{key}: {message}" for key, message in problems.items()))
        self._say_keys()
        self._pending += 1
        if self._now is not None:
            self.set_timer(DRAW_S, lambda number=self._pending: self._begin_to_draw(number))

    @property
    def _keys(self) -> set[str]:
        return {field.key for field in self._fields}

    def _say_keys(self) -> None:
        words = f"⏎ {self._verb} · " if self._now is not None else "mend what is red · "
        self.query_one("#dialog-keys", Static).update(
            Content(f"{words}↑↓ next line · ^s save as TOML · esc cancel")
        )

    # ---- the first trials

    def _begin_to_draw(self, number: int) -> None:
        search = self._now
        if number == self._pending and search is not None and self.is_mounted:
            self.run_worker(lambda: self._draw_in_thread(number, search), thread=True, exit_on_error=False)

    def _draw_in_thread(self, number: int, search: Search) -> None:
        """The sampler takes a while to be imported; a thread may only post what came of it."""
        try:
            self.post_message(self.Drawn(number, self._draw(search, min(DRAWN, search.trials)), ""))
        except Exception as error:
            self.post_message(self.Drawn(number, (), str(error)))

    def on_search_form_drawn(self, event: Drawn) -> None:
        if event.number != self._pending or not self.is_mounted:
            return
        width = max(20, self.query_one("#drawn").size.width)
        self.query_one("#drawn", Static).update(
            drawn_text(self._drawn, event.trials, width) if not event.why else event.why
        )

    # ---- what is decided

    def on_input_submitted(self) -> None:
        if self._now is None or self._busy:
            return
        self._busy = True
        gpus = next((line.value for line in self.query(Line) if line.field.key == "gpus"), "auto")
        answer = Answer(self._now, self._settings, gpus or "auto", self._emptied)
        self.query_one("#dialog-keys", Static).update(Content("just a moment …"))
        self.run_worker(lambda: self._act_in_thread(answer), thread=True, exit_on_error=False)

    def _act_in_thread(self, answer: Answer) -> None:
        try:
            self._act(answer)
        except Exception as error:
            self.post_message(self.Failed(str(error) or type(error).__name__))
        else:
            self.post_message(self.Done(answer))

    def on_search_form_failed(self, event: Failed) -> None:
        self._busy = False
        self.query_one(Problem).say(event.why)
        self._say_keys()

    def on_search_form_done(self, event: Done) -> None:
        self.dismiss(event.answer)

    def action_save(self) -> None:
        """A new file in the working folder; one that is there is never written over."""
        if self._now is None:
            self.notify("Mend what is red first.", severity="warning")
            return
        path = free_path(Path.cwd(), self._now.name)
        try:
            comments = {line.field.key: _comment(line) for line in self._lines if line.why}
            save_search_file(path, to_toml(self._now, comments=comments))
        except OSError as error:
            self.notify(f"{path.name}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"Saved as {path.name}.", markup=False)

    def action_cancel(self) -> None:
        self.dismiss(None)


def without(search: Search, names: Sequence[str]) -> Search:
    """The search without these hyperparameters and fixed values: the code's own defaults hold for them."""
    space = Space(tuple(h for h in search.space if h.name not in names))
    fixed = {name: value for name, value in search.fixed.items() if name not in names}
    return replace(search, space=space, fixed=fixed)


def _comment(line: Line) -> tuple[str, ...]:
    return (*([f"was {line.field.was}"] if line.setting else []), *line.why)


def free_path(folder: Path, name: str) -> Path:
    """NAME.toml, or NAME-2.toml, ... where that is taken."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name) or "search"
    number = 1
    while (path := folder / (f"{stem}.toml" if number == 1 else f"{stem}-{number}.toml")).exists():
        number += 1
    return path


def drawn_text(title: str, trials: Sequence[dict[str, Any]], width: int) -> Content:
    """The first trials, one a line, cut to the width."""
    names = list(dict.fromkeys(name for trial in trials for name in trial))
    sizes = {n: max(len(n), *(len(parameter(t.get(n)) if n in t else "–") for t in trials)) for n in names}
    lines = [Content.styled("  ".join(f"{printable(n):<{sizes[n]}}" for n in names)[: width - 4], "$quiet")]
    for number, trial in enumerate(trials):
        cells = "  ".join(f"{parameter(trial[n]) if n in trial else '–':<{sizes[n]}}" for n in names)
        lines.append(Content.assemble((f"{number:<3} ", "$quiet"), cells[: width - 4]))
    lines[0] = Content.assemble("    ", lines[0])
    return Content("\n").join([Content.styled(title, "$secondary"), *lines])


def _fields(
    search: Search, proposed: Search, keys: Sequence[str], reasons: Mapping[str, tuple[str, ...]]
) -> list[Field]:
    """A line for each key of the file, each hyperparameter and each fixed value."""
    hints = {"sampler": f"or {', '.join(name for name in SAMPLERS if name != search.sampler)}"}
    found = [
        Field(key, spell(getattr(search, key)), spell(getattr(proposed, key)), hint=hints.get(key, ""))
        for key in keys
    ]
    before = {h.name: spell_hyperparameter(h) for h in search.space} | _spelt(search)
    after = {h.name: spell_hyperparameter(h) for h in proposed.space} | _spelt(proposed)
    groups: dict[str, str] = {h.name: h.group or "space" for h in (*proposed.space, *search.space)}
    for name, was in before.items():
        field = Field(name, was, after.get(name, was), groups.get(name, "fixed"), why=reasons.get(name, ()))
        found.append(field)
    return found


def _spelt(search: Search) -> dict[str, str]:
    return {name: spell(value) for name, value in search.fixed.items()}
