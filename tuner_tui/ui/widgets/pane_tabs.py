"""Which pane is in front, where there is room for only one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

PANES = (("grid", "Plots"), ("table", "Trials"), ("detail", "Detail"))


class PaneTabs(Widget):
    front: reactive[str] = reactive("grid")
    about: reactive[str] = reactive("")  # how the table is filtered and sorted

    @dataclass
    class Picked(Message):
        pane: str

    def render(self) -> Content:
        tabs = Content("   ").join(
            Content.styled(title, "bold underline $primary" if pane == self.front else "$quiet").stylize(
                Style.from_meta({"pane": pane})
            )
            for pane, title in PANES
        )
        return Content.assemble(tabs, (f"   {self.about}", "$faint")) if self.about else tabs

    def on_click(self, event: events.Click) -> None:
        if pane := event.style.meta.get("pane"):
            self.post_message(self.Picked(pane))
