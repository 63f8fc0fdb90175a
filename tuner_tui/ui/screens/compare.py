"""Trials side by side: the parameters in which they differ, how they ended, and their curves over each other."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...analysis.difference import differing
from ...study.snapshot import Snapshot, Trial
from ...study.text import printable
from ...view.signs import OUTCOME_TONES, end_sign
from ...view.words import duration, number, outcome_word, parameter, reason_word
from ..curve import overlaid

MOST = 6  # trials side by side: a colour each
TONES = ("$primary", "$warning", "$success", "$error", "$secondary", "$foreground")
CURVE_ROWS = 10
COLUMN = 16  # cells of a trial's values, at most


class Compare(ModalScreen[None]):
    """A page that compares trials."""

    BINDINGS = [Binding("escape,q,c,enter", "close", "close")]  # noqa: RUF012

    def __init__(self, snapshot: Snapshot, numbers: Sequence[int], *, now: float) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._trials = [snapshot.trials[number] for number in numbers[:MOST]]
        self._now = now

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "Compare"
            dialog.border_subtitle = "esc closes"
            yield Static(id="compared")

    def on_mount(self) -> None:
        self.query_one("#dialog").focus()
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        self._fill()

    def _fill(self) -> None:
        width = self.query_one("#compared").size.width
        if width > 20:
            text = compared(self._snapshot, self._trials, width=width, now=self._now)
            self.query_one("#compared", Static).update(text)

    def action_close(self) -> None:
        self.dismiss()


def compared(snapshot: Snapshot, trials: Sequence[Trial], *, width: int, now: float) -> Content:
    """The whole page. The first column names, the others are the trials, each in its colour."""
    rows: list[tuple[str, list[str]]] = [
        (printable(snapshot.objective), [number(t.value) for t in trials]),
        ("outcome", [f"{end_sign(t).glyph} {outcome_word(t, True)}" for t in trials]),
    ]
    if any(t.reason for t in trials):
        rows.append(("reason", [reason_word(t.reason) for t in trials]))
    rows += [
        ("steps", [str(t.steps) for t in trials]),
        ("time", [duration(t.seconds(now)) for t in trials]),
    ]
    others = {name for t in trials for name in t.latest if name != snapshot.objective}
    rows += [(printable(name), [number(t.latest.get(name)) for t in trials]) for name in sorted(others)]
    names = differing(snapshot, trials)
    params = [
        (printable(n), [parameter(t.params[n]) if n in t.params else "–" for t in trials]) for n in names
    ]
    first = min(max(len(name) for name, _ in (*rows, *params)), width // 3)
    room = min(COLUMN, max(6, (width - first) // len(trials) - 2))
    best = snapshot.best
    heads = [f"#{t.number}{' ★' if best and best.number == t.number else ''}" for t in trials]
    tones = [f"bold {tone}" for tone in TONES]
    parts = [_row("", heads, first, room, tones), *(_row(name, cells, first, room) for name, cells in rows)]
    title = "parameters that differ" if params else "their parameters are the same"
    parts += [Content(""), Content.styled(title, "$secondary")]
    parts += [_row(name, cells, first, room) for name, cells in params]
    lines = overlaid([t.curve for t in trials], width - 10, CURVE_ROWS)
    if lines:
        parts += [Content(""), Content.styled(f"{printable(snapshot.objective)} by step", "$secondary")]
        low, high = lines.low, lines.high
        labels = [number(high, 3), *[""] * (CURVE_ROWS - 2), number(low, 3)]
        for label, cells in zip(labels, lines.rows, strict=True):
            parts.append(
                Content.assemble((f"{label:>8} ", "$quiet"), *((text, TONES[which]) for text, which in cells))
            )
        parts.append(Content.styled(f"{'':9}{lines.first} … {lines.last}", "$quiet"))
    return Content("\n").join(parts)


def _row(name: str, cells: Sequence[str], first: int, room: int, tones: Sequence[str] = ()) -> Content:
    runs: list[tuple[str, str]] = [(f"{name[:first]:<{first}}", "$quiet")]
    for place, cell in enumerate(cells):
        text = cell if len(cell) <= room else cell[: room - 1] + "…"
        tone = tones[place] if tones else f"${OUTCOME_TONES[None]}" if cell == "–" else ""
        runs.append((f"  {text:<{room}}", tone))
    return Content.assemble(*runs)
