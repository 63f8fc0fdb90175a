"""Which pane is in front, where there is room for only one at a time: a finding, the trials or the detail."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

PANES = (("grid", "Plots"), ("table", "Trials"), ("detail", "Detail"))
Tab = tuple[str, str, bool]  # a finding's id and title, and whether the first pane shows it


class PaneTabs(Widget):
    """The tabs of a narrow screen."""

    front: reactive[str] = reactive("grid")
    findings: reactive[tuple[Tab, ...]] = reactive(())
    about: reactive[str] = reactive("")  # how the table is filtered and sorted
    plots: reactive[str] = reactive("")  # how the plots are drawn

    @dataclass
    class Picked(Message):
        """A person clicked on a tab: a finding's id, or the name of a pane."""

        pane: str

    def render(self) -> Content:
        front = self.front
        named = [(id, title, shown and front == "grid") for id, title, shown in self.findings]
        named += [(pane, title, pane == front) for pane, title in PANES if pane != "grid"]
        tabs = Content("   ").join(
            Content.styled(title, "bold underline $primary" if shown else "$quiet").stylize(
                Style.from_meta({"pane": id})
            )
            for id, title, shown in named
        )
        about = self.about if front == "table" else self.plots if front == "grid" else ""
        tone = "$warning" if front == "grid" else "$faint"
        return Content.assemble(tabs, (f"   {about}", tone)) if about else tabs

    def on_click(self, event: events.Click) -> None:
        if pane := event.style.meta.get("pane"):
            self.post_message(self.Picked(pane))
