"""How many trials to add to a running study's plan."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class AddTrials(ModalScreen[int]):
    """Returns how many, or 0."""

    BINDINGS = [Binding("escape", "cancel", "cancel")]  # noqa: RUF012

    def __init__(self, planned: int) -> None:
        super().__init__()
        self._planned = planned

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "Add trials"
            yield Static(Content(f"{self._planned} are planned. How many more?"), id="dialog-sentence")
            yield Input("10", type="integer", id="amount", select_on_focus=True)
            yield Static(Content("⏎ adds · esc cancels"), id="dialog-keys")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        amount = int(event.value) if event.value.strip().isdecimal() else 0
        if amount > 0:
            self.dismiss(amount)
        else:
            self.query_one("#dialog-sentence", Static).update(
                Content.styled("A whole number above 0, please.", "$text-error")
            )

    def action_cancel(self) -> None:
        self.dismiss(0)
