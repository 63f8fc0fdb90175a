"""The studies under one root, one row each: state, share of outcomes, best value, when."""

from __future__ import annotations

from dataclasses import dataclass

from textual.reactive import reactive

from ...study.outcomes import Outcome
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import printable
from ...view.signs import OUTCOME_SIGNS, STATE_TONES
from ...view.words import BRIEF_WORDS, ago, number, state_word
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


class StudyList(Rows):
    """The table of studies."""

    studies: reactive[tuple[StudyRow, ...]] = reactive((), always_update=True, repaint=False)
    now: reactive[float] = reactive(0.0)

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
            *((Column("objective", 16, stretch=True),) if wide else ()),
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
        if wide:
            cells.append((printable(snapshot.objective), "muted"))
        cells.append((ago(study.touched, self.now), "muted"))
        return cells
