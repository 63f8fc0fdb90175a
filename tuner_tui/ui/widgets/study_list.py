"""The studies under one root, one row each: state, share of outcomes, best value, when."""

from __future__ import annotations

from dataclasses import dataclass

from textual.reactive import reactive

from ...analysis.best_so_far import best_so_far
from ...study.outcomes import Outcome
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import printable
from ...view.signs import OUTCOME_SIGNS, STATE_TONES
from ...view.words import BRIEF_WORDS, ago, number, plural, state_word
from ..memory import Look
from .rows import Cell, Column, Rows


@dataclass(frozen=True)
class StudyRow:
    """What the list knows of one study. `touched` is when it last grew (seconds since the epoch)."""

    name: str
    address: str
    state: State
    snapshot: Snapshot
    touched: float
    share_read: float = 1.0
    look: Look | None = None  # how it stood when it was last looked at


ROOMY = 140  # cells: room for the line of the best so far, and the host
LINE_CELLS = 10
_BLOCKS = "▁▂▃▄▅▆▇█"


def since_words(look: Look | None, snapshot: Snapshot) -> str:
    """`12 trials ended, 3 of them failed, a new best: 0.12 after 0.15`; "" where nothing is new or it is all new."""
    if look is None or look.ended >= (now := Look.at(snapshot)).ended:
        return ""
    words = [f"{plural(now.ended - look.ended, 'trial')} ended"]
    if (failed := now.failed - look.failed) > 0:
        words.append(f"{failed} of them failed")
    if now.best is not None and now.best != look.best:
        before = f" after {number(look.best)}" if look.best is not None else ""
        words.append(f"a new best: {number(now.best)}{before}")
    return ", ".join(words)


def since_brief(look: Look | None, snapshot: Snapshot) -> str:
    """`+12 ▲3 ★`."""
    if look is None or look.ended >= (now := Look.at(snapshot)).ended:
        return ""
    failed = (
        f" {OUTCOME_SIGNS[Outcome.UNFINISHED].glyph}{now.failed - look.failed}"
        if now.failed > look.failed
        else ""
    )
    return f"+{now.ended - look.ended}{failed}" + (" ★" if now.best != look.best else "")


def best_line(snapshot: Snapshot, cells: int) -> str:
    """The best so far over the trials in the order of their ends, in blocks: the lower, the smaller the loss."""
    found = best_so_far(snapshot)
    if found is None:
        return ""
    values: list[float] = []
    for cell in range(cells):
        until = (cell + 1) / cells * found.ended
        values.append(next((v for count, v, _ in reversed(found.bests) if count <= until), found.bests[0][1]))
    low, high = min(values), max(values)
    return "".join(_BLOCKS[round((v - low) / (high - low) * 7) if high > low else 0] for v in values)


class StudyList(Rows):
    """The table of studies."""

    studies: reactive[tuple[StudyRow, ...]] = reactive((), always_update=True, repaint=False)
    now: reactive[float] = reactive(0.0)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: dict[str, tuple[int, str]] = {}  # by address: version, the line of the best so far

    def _line_of(self, study: StudyRow) -> str:
        version, line = self._lines.get(study.address, (-1, ""))
        if version != study.snapshot.version:
            line = best_line(study.snapshot, LINE_CELLS)
            self._lines[study.address] = (study.snapshot.version, line)
        return line

    def watch_studies(self, studies: tuple[StudyRow, ...]) -> None:
        self.row_count = len(studies)
        if self.cursor is None or not studies:
            self.cursor = 0 if studies else None
        elif self.cursor >= len(studies):
            self.cursor = len(studies) - 1
        self.refresh_rows()

    def columns(self) -> tuple[Column, ...]:
        """See `Rows.columns`."""
        wide = self.size.width >= 100
        name = max((len(row.name) for row in self.studies), default=5)
        return (
            Column("", 1),
            Column("study", max(5, min(name, 40 if wide else 20))),
            Column("state", 11),
            Column("trials", 9, right=True),
            Column(f"{OUTCOME_SIGNS[Outcome.FINISHED].glyph} {BRIEF_WORDS[Outcome.FINISHED]}", 6, right=True),
            Column(
                f"{OUTCOME_SIGNS[Outcome.UNFINISHED].glyph} {BRIEF_WORDS[Outcome.UNFINISHED]}", 7, right=True
            ),
            Column(f"{OUTCOME_SIGNS[Outcome.NO_START].glyph} none", 6, right=True),
            *((Column(f"{OUTCOME_SIGNS[None].glyph} {BRIEF_WORDS[None]}", 6, right=True),) if wide else ()),
            Column("best", 9, right=True),
            *((Column("so far", LINE_CELLS),) if self.size.width >= ROOMY else ()),
            *((Column("objective", 16, stretch=True),) if wide else ()),
            *((Column("new", 12),) if wide else ()),
            *((Column("host", 12),) if self.size.width >= ROOMY else ()),
            Column("when", 10, right=True),
        )

    def cells(self, row: int) -> list[Cell]:
        """See `Rows.cells`."""
        study = self.studies[row]
        snapshot, counts = study.snapshot, study.snapshot.counts
        wide = self.size.width >= 100
        tone = STATE_TONES[study.state].replace("quiet", "muted")
        reading = f"{study.share_read:.0%} read" if study.share_read < 1 else ""
        best = snapshot.best
        cells = [
            ("◆" if study.state is State.RUNNING else "◇", tone),
            (printable(study.name), "strong"),
            (reading or state_word(study.state, snapshot), tone),
            (f"{counts.ended}/{snapshot.planned}", ""),
            (str(counts.finished or "–"), "finished" if counts.finished else "muted"),
            (str(counts.unfinished or "–"), "unfinished" if counts.unfinished else "muted"),
            (str(counts.no_start or "–"), "no-start" if counts.no_start else "muted"),
        ]
        if wide:
            cells.append((str(counts.running or "–"), "running" if counts.running else "muted"))
        cells.append((number(best.value) if best else "–", "strong" if best else "muted"))
        if self.size.width >= ROOMY:
            cells.append((self._line_of(study), "finished"))
        if wide:
            cells.append((printable(snapshot.objective), "muted"))
            cells.append((since_brief(study.look, snapshot), "success"))
        if self.size.width >= ROOMY:
            cells.append((printable(snapshot.host), "muted"))
        cells.append((ago(study.touched, self.now), "muted"))
        return cells
