"""A confirmation before an action that cannot be undone. Nothing happens unless an option is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


@dataclass(frozen=True)
class Option:
    """One answer of a dialog."""

    value: str  # what the dialog returns; "" for leaving everything as it is
    key: str
    label: str
    effect: str  # a sentence


class OptionLine(Static):
    """One answer; a click picks it."""

    def __init__(self, number: int, option: Option) -> None:
        super().__init__(classes="option")
        self.number = number
        key, label, effect = option.key, option.label, option.effect
        self.update(
            Content.assemble((f" {key} ", "bold $primary"), (f" {label:<9}", "bold"), (effect, "$quiet"))
        )

    def on_click(self) -> None:
        screen = self.screen
        if isinstance(screen, ChoiceDialog):
            screen.pick(self.number)


class ChoiceDialog(ModalScreen[str]):
    """Returns the picked option's value; the first option is the harmless one and stands under the cursor."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape,q", "cancel", "cancel"),
        Binding("down,j,tab", "move(1)", "next"),
        Binding("up,k,shift+tab", "move(-1)", "previous"),
        Binding("enter,space", "take", "pick"),
    ]

    def __init__(self, title: str, sentence: str, options: tuple[Option, ...]) -> None:
        super().__init__()
        self._title = title
        self._sentence = sentence
        self._options = options
        self._at = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(Content(self._sentence), id="dialog-sentence")
            for number, option in enumerate(self._options):
                yield OptionLine(number, option)
            yield Static(Content("⏎ picks · esc leaves everything as it is"), id="dialog-keys")

    def on_mount(self) -> None:
        self._mark()

    def _mark(self) -> None:
        for line in self.query(OptionLine):
            line.set_class(line.number == self._at, "-at")

    def on_key(self, event: events.Key) -> None:
        """A letter of an option picks it at once."""
        for number, option in enumerate(self._options):
            if event.character == option.key:
                event.stop()
                self.pick(number)
                return

    def action_move(self, by: int) -> None:
        self._at = (self._at + by) % len(self._options)
        self._mark()

    def action_take(self) -> None:
        self.pick(self._at)

    def pick(self, number: int) -> None:
        """Close the dialog with the option of this id."""
        self.dismiss(self._options[number].value)

    def action_cancel(self) -> None:
        self.dismiss("")
