"""The scatterplots: one panel per hyperparameter, grouped as in the search file.

A panel is drawn when it is on view and its scatter, size or selection changed, and then kept. Drawing one takes
milliseconds, thirteen of them a tenth of a second, so dirty panels are redrawn a few at a time between keys: no key
waits for the plots. They are shown together once all are drawn, so that one screen never shows two moments, and only
rows that differ are sent to the terminal.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer

from ...view.axes import Overlay
from ...view.charts import Scatter
from ..painting import changed
from ..shelves import Shelf, arrangement, shelf_heights, shelves

DRAW_S = 0.012  # of drawing between two looks at the keyboard
SELECT_S = 0.03  # plots wait so long for a selection to come to rest: a held key repeats as fast
REST_S = 0.15  # a mouse that rests so long points at something
BRUSH = 2  # cells: a mouse that was drawn less far was to click
_GAP = 1  # columns between panels

Picture = tuple[object, ...]  # what a panel's strips depend on


@dataclass
class Panel:
    """A scatter, its place in the grid, and its last drawing."""

    scatter: Scatter
    region: Region  # within the grid's virtual space
    drawn_for: Picture = ()
    strips: tuple[Strip, ...] = ()
    next: tuple[Strip, ...] | None = None  # drawn, and shown when the others on view are drawn too


class ScatterGrid(ScrollView, can_focus=True, inherit_bindings=False):
    """The pane of the scatterplots."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--heading", "grid--rule", "grid--empty"}

    scatters: reactive[tuple[Scatter, ...]] = reactive((), always_update=True, repaint=False)
    selected: reactive[int | None] = reactive(None, repaint=False)
    overlay: reactive[Overlay] = reactive(Overlay.POINTS, repaint=False)
    why_empty: reactive[str] = reactive("")
    maximised: reactive[str | None] = reactive(None, repaint=False)  # the hyperparameter shown alone

    @dataclass
    class Picked(Message):
        """A person clicked on, or near, trials that share a place."""

        trials: tuple[int, ...]
        rested: bool = False  # the mouse only rested there

    class LaidOut(Message):
        """The panels have other sizes, or are others."""

    @dataclass
    class Brushed(Message):
        """A person drew the mouse along a panel: from `low` to `high` on its x axis."""

        scatter: Scatter
        low: float
        high: float

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.panels: list[Panel] = []
        self._shelves: list[tuple[int, int, Shelf]] = []  # top, height, shelf
        self._column_width = 0
        self._drawing = False
        self._laid_for: tuple[object, ...] = ()
        self._canvas: dict[int, list[Panel]] = {}
        self._rest: Timer | None = None  # runs while the mouse rests
        self._brush: tuple[Panel, int, int] | None = (
            None  # the panel, and the columns it was drawn from and to
        )

    def watch_scatters(self) -> None:
        self._lay_out()
        self._draw_soon()

    def watch_overlay(self) -> None:
        self._draw_soon()

    @property
    def point_rows(self) -> int:
        """Rows of points in the lowest panel; 0 where there is none."""
        from ...view.draw import canvas

        return min((canvas(p.scatter, *p.region.size).rows for p in self.panels), default=0)

    def watch_maximised(self) -> None:
        self.scroll_home(animate=False)
        self._lay_out()
        self._draw_soon()

    def turn(self, by: int) -> None:
        """Maximise a panel: the next, the one before, or, if none is, the first."""
        names = [scatter.name for scatter in self.scatters]
        if names:
            at = names.index(self.maximised) + by if self.maximised in names else 0
            self.maximised = names[at % len(names)]

    def watch_selected(self) -> None:
        if not self._drawing and self.is_mounted:
            self._drawing = True
            self.set_timer(SELECT_S, self._draw_some)  # the table and the detail are painted first

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()
        self._draw_soon()

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        self._draw_soon()

    def notify_style_update(self) -> None:
        for panel in getattr(self, "panels", ()):
            panel.drawn_for = ()
        super().notify_style_update()
        if getattr(self, "panels", None):
            self._draw_soon()

    # ---- layout

    def _room(self) -> Size:
        """What there is to draw on, the scroll bar's column included."""
        return self.content_region.size

    def _lay_out(self) -> None:
        """Give every scatter its region; a panel keeps its drawing where only its scatter changed."""
        width, height = self._room()
        alone = [scatter for scatter in self.scatters if scatter.name == self.maximised]
        shown = alone or self.scatters
        names = tuple((scatter.name, scatter.group) for scatter in shown)
        if self._laid_for == (names, width, height):
            now = {scatter.name: scatter for scatter in self.scatters}
            for panel in self.panels:  # of which there are none while another pane hides this one
                scatter = now[panel.scatter.name]
                if panel.scatter != scatter:  # an equal one is kept: it is then recognised at no cost
                    panel.scatter = scatter
            return
        self._laid_for = (names, width, height)
        old = {panel.scatter.name: panel for panel in self.panels}
        self.panels, self._shelves, self._canvas = [], [], {}
        if not shown or width < 1 or height < 1:
            self.virtual_size = Size(width, height)
            self.refresh()
            return
        from ...view.page import columns_for

        width -= 1  # the scroll bar's, whether it shows or not: panels must not jump when it comes
        groups = [group for _, group in names]
        columns, arranged = 1, shelves(groups, 1)
        if not alone:
            columns, arranged = arrangement(groups, width, height, columns_for(width))
        self._column_width = (width + _GAP) // columns
        top = 0
        heights = (height,) if alone else shelf_heights(arranged, height)
        for shelf, rows in zip(arranged, heights, strict=True):
            self._shelves.append((top, rows, shelf))
            head = 1 if any(s.headings for s in arranged) else 0
            for place in shelf.places:
                scatter = shown[place.panel]
                region = Region(
                    place.column * self._column_width, top + head, self._column_width - _GAP, rows - head
                )
                panel = Panel(scatter, region)
                if before := old.get(scatter.name):
                    panel.strips, panel.drawn_for = before.strips, before.drawn_for
                self.panels.append(panel)
                for row in range(region.y, region.bottom):
                    self._canvas.setdefault(row, []).append(panel)
            top += rows
        self.virtual_size = Size(width, top)
        self.refresh()
        self.post_message(self.LaidOut())

    # ---- drawing

    def _picture(self, panel: Panel) -> Picture:
        return (panel.scatter, panel.region.size, self.selected, self.overlay)

    def _dirty(self) -> list[Panel]:
        view = Region(0, round(self.scroll_y), self.size.width, self.size.height)
        return [
            panel
            for panel in self.panels
            if panel.region.overlaps(view) and panel.drawn_for != self._picture(panel)
        ]

    def _draw_soon(self) -> None:
        if not self._drawing and self.is_mounted:
            self._drawing = True
            self.call_after_refresh(self._draw_some)

    def _draw_some(self) -> None:
        """Draw dirty panels for a few milliseconds, then let keys in and come back for the rest."""
        self._drawing = False
        deadline = time.monotonic() + DRAW_S
        dirty = self._dirty()
        while dirty:
            panel = dirty.pop(0)
            self._draw(panel)
            if time.monotonic() > deadline:
                break
        if dirty:
            self._drawing = True
            self.set_timer(0.001, self._draw_some)
        else:
            self._show()

    def _show(self) -> None:
        """Put the new drawings in place of the old, all in one frame; only rows that differ are painted.

        One region per row: Textual sends a row's cells up to the end of each region, and again for the next.
        """
        spans: dict[int, tuple[int, int]] = {}
        for panel in self.panels:
            if panel.next is None:
                continue
            old, panel.strips, panel.next = panel.strips, panel.next, None
            for row, strip in enumerate(panel.strips):
                if span := changed(old[row] if row < len(old) else None, strip):
                    left, right = panel.region.x + span[0], panel.region.x + span[1]
                    y = panel.region.y + row
                    before = spans.get(y, (left, right))
                    spans[y] = (min(before[0], left), max(before[1], right))
        for y, (left, right) in spans.items():
            self.refresh(Region(left, y, right - left, 1).translate(-self.scroll_offset))

    def _draw(self, panel: Panel) -> None:
        from ...view.draw import draw_panel

        base = self.rich_style
        width, height = panel.region.size
        light = not self.app.current_theme.dark
        lines = draw_panel(
            panel.scatter, width, height, selected=self.selected, light=light, overlay=self.overlay
        )
        panel.next = tuple(
            Strip([Segment(run.text, base + Style.parse(run.style)) for run in line]).adjust_cell_length(
                width, base
            )
            for line in lines
        )
        panel.drawn_for = self._picture(panel)

    @property
    def settled(self) -> bool:
        """Whether every panel on view shows the newest picture."""
        return not self._drawing and not self._dirty()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if not self.panels:
            if self.why_empty and y == self.size.height // 2:
                text = self.why_empty[:width].center(width)
                return Strip([Segment(text, self.get_component_rich_style("grid--empty"))])
            return Strip.blank(width, base)
        row = y + self.scroll_offset.y
        pieces: list[Strip] = []
        at = 0
        for panel in self._canvas.get(row, ()):
            region = panel.region
            pieces.append(Strip.blank(region.x - at, base))
            line = row - region.y
            strip = panel.strips[line] if line < len(panel.strips) else Strip.blank(region.width, base)
            pieces.append(strip.adjust_cell_length(region.width, base))
            at = region.right
        if not pieces:
            return self._heading_line(row, width)
        return Strip.join(pieces).adjust_cell_length(width, base)

    def _heading_line(self, row: int, width: int) -> Strip:
        base = self.rich_style
        for top, _, shelf in self._shelves:
            if row != top:
                continue
            name_style = self.get_component_rich_style("grid--heading")
            rule_style = self.get_component_rich_style("grid--rule")
            strip = Strip([])
            for heading in shelf.headings:
                strip = strip.extend_cell_length(heading.column * self._column_width, base)
                span = heading.columns * self._column_width - _GAP
                text = f" {heading.text} "[: max(0, span - 2)]
                rule = "─" * max(0, span - 2 - len(text))
                strip = Strip.join(
                    [
                        strip,
                        Strip(
                            [Segment("──", rule_style), Segment(text, name_style), Segment(rule, rule_style)]
                        ),
                    ]
                )
            return strip.adjust_cell_length(width, base)
        return Strip.blank(width, base)

    # ---- clicks

    def _panel_at(self, event: events.MouseEvent) -> tuple[Panel, int, int] | None:
        """The panel under the mouse, and the cell within it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return None
        x, y = offset.x, offset.y + self.scroll_offset.y
        for panel in self._canvas.get(y, ()):
            if panel.region.contains(x, y):
                return panel, x - panel.region.x, y - panel.region.y
        return None

    def on_click(self, event: events.Click) -> None:
        from ...view.draw import trials_at

        if (found := self._panel_at(event)) is None:
            return
        panel, column, row = found
        trials = trials_at(panel.scatter, *panel.region.size, column, row)
        # A double click on a panel's name, or where nothing is drawn; on trials, clicks go through them.
        if event.chain == 2 and (row == 0 or not trials):
            self.maximised = None if self.maximised else panel.scatter.name
        elif trials:
            self.post_message(self.Picked(trials))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1 and (found := self._panel_at(event)) is not None:
            self._brush = (found[0], found[1], found[1])
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._brush is not None:
            panel, first, _ = self._brush
            column = event.x - self.gutter.left - panel.region.x
            self._brush = (panel, first, column)
            return
        if self._rest is not None:
            self._rest.stop()
        found = self._panel_at(event)
        self._rest = self.set_timer(REST_S, lambda: self._rested(*found)) if found else None

    def on_leave(self, event: events.Leave) -> None:
        if self._rest is not None:
            self._rest.stop()

    def _rested(self, panel: Panel, column: int, row: int) -> None:
        from ...view.draw import trials_at

        if trials := trials_at(panel.scatter, *panel.region.size, column, row):
            self.post_message(self.Picked(trials, rested=True))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        from ...view.draw import span_at

        self.release_mouse()
        if self._brush is None:
            return
        (panel, first, last), self._brush = self._brush, None
        if abs(last - first) < BRUSH:
            return
        event.stop()
        if span := span_at(panel.scatter, *panel.region.size, first, last):
            self.post_message(self.Brushed(panel.scatter, *span))
