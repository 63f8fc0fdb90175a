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
GAP = "   "  # between tabs
ARROW = len(GAP) + 1  # cells: where more findings are
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
        panes = [(pane, title, pane == front) for pane, title in PANES if pane != "grid"]
        named = [(id, title, shown and front == "grid") for id, title, shown in self._fitting(panes)]
        named += panes
        tabs = Content(GAP).join(
            Content.styled(title, "bold underline $primary" if shown else "$quiet").stylize(
                Style.from_meta({"pane": id})
            )
            for id, title, shown in named
        )
        about = self.about if front == "table" else self.plots if front == "grid" else ""
        tone = "$warning" if front == "grid" else "$faint"
        return Content.assemble(tabs, (f"   {about}", tone)) if about else tabs

    def _fitting(self, panes: list[Tab]) -> list[Tab]:
        """As many findings about the chosen one as there is room for, with an arrow to either side where more are."""
        tabs = list(self.findings)
        chosen = next((tab for tab in tabs if tab[2]), None)
        room = self.size.width - sum(len(title) + len(GAP) for _, title, _ in panes)
        while len(tabs) > 1 and sum(len(title) + len(GAP) for _, title, _ in tabs) + 2 * ARROW > room + len(
            GAP
        ):
            behind = chosen is None or tabs.index(chosen) <= len(tabs) // 2
            tabs.pop(-1 if behind else 0)
        first, last = self.findings.index(tabs[0]) if tabs else 0, len(self.findings)
        before = [(self.findings[first - 1][0], "‹", False)] if first else []
        after = [(self.findings[end][0], "›", False)] if (end := first + len(tabs)) < last else []
        return [*before, *tabs, *after]

    def on_click(self, event: events.Click) -> None:
        if pane := event.style.meta.get("pane"):
            self.post_message(self.Picked(pane))
