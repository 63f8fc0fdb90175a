"""The trials of a study, one row each, in the order the keys walk them."""

from __future__ import annotations

from textual.reactive import reactive

from ...analysis.varied import varied
from ...search.space import Choice
from ...study.snapshot import Snapshot, Trial
from ...view.confirmation import confirmed_words
from ...view.signs import OUTCOME_TONES, end_sign
from ...view.words import duration, number, parameter, reason_word
from .rows import Cell, Column, Rows

_MAX_PARAMETER = 16  # a longer value is cut; the detail shows it whole


class TrialTable(Rows):
    """The table of trials."""

    snapshot: reactive[Snapshot] = reactive(Snapshot, always_update=True, repaint=False)
    rows: reactive[tuple[int, ...]] = reactive((), repaint=False)  # trial numbers in the order shown
    selected: reactive[int | None] = reactive(None, repaint=False)
    marked: reactive[frozenset[int]] = reactive(frozenset(), repaint=False)  # to be compared
    now: reactive[float] = reactive(0.0, repaint=False)
    alive: reactive[bool] = reactive(True, repaint=False)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._names: tuple[str, ...] = ()
        self._widths: tuple[int, ...] = ()
        self._best: int | None = None
        self._confirmed = 0  # cells that the means of confirmed trials take; 0: none was confirmed

    def watch_snapshot(self, snapshot: Snapshot) -> None:
        names = varied(snapshot)
        if names != self._names or not self._widths:
            self._names = names
            self._widths = tuple(_width(name, snapshot) for name in names)
        best = snapshot.best
        self._best = best.number if best else None
        confirmed = [len(confirmed_words(trial)) for trial in snapshot.confirmed]
        self._confirmed = max((len("confirmed"), *confirmed)) if confirmed else 0
        self.refresh_rows()

    def watch_rows(self) -> None:
        follow = self.alive and self.selected is None and self.scroll_offset.y >= self.max_scroll_y
        self.row_count = len(self.rows)
        self.refresh_rows()
        self.watch_selected()
        if follow:  # as a log does: what has just started is what one looks for
            self.call_after_refresh(self._to_the_end)

    def watch_selected(self) -> None:
        found = self.selected is not None and self.selected in self.rows
        self.move_cursor(self.rows.index(self.selected) if found and self.selected is not None else None)

    def watch_marked(self) -> None:
        self.repaint()

    def watch_now(self) -> None:
        if self.snapshot.counts.running:
            self.repaint()

    def _to_the_end(self) -> None:
        if self.selected is None:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    def columns(self) -> tuple[Column, ...]:
        """See `Rows.columns`."""
        digits = max(3, len(str(self.snapshot.next_number)) + 1)
        reasons = {t.reason for t in self.snapshot.trials.values()}
        reason = max((len(reason_word(r)) for r in reasons if r), default=0)
        return (
            Column("#", digits, right=True),
            Column("", 1),
            Column("value", 9, right=True),
            *((Column("confirmed", self._confirmed, right=True),) if self._confirmed else ()),
            Column("steps", 6, right=True),
            Column("time", 9, right=True),
            *((Column("reason", max(6, reason)),) if reason else ()),
            *(Column(name, width) for name, width in zip(self._names, self._widths, strict=True)),
        )

    def cells(self, row: int) -> list[Cell]:
        """See `Rows.cells`."""
        trial = self.snapshot.trials.get(self.rows[row])
        if trial is None:
            return []
        colour = OUTCOME_TONES[trial.outcome] if self.alive or not trial.running else "muted"
        name = f"★{trial.number}" if trial.number == self._best else str(trial.number)
        name = f"✓{trial.number}" if trial.number in self.marked else name
        cells = [
            (name, "strong" if trial.number == self._best else "muted"),
            (end_sign(trial).glyph, colour),
            (
                _value(trial),
                "strong" if trial.number == self._best else "" if trial.value is not None else "muted",
            ),
            *([(confirmed_words(trial), "finished")] if self._confirmed else []),
            (str(trial.steps or "–"), "muted"),
            (duration(trial.seconds(self.now)) if self.alive or not trial.running else "–", "muted"),
        ]
        if len(self._columns) > len(cells) + len(self._names):
            cells.append((reason_word(trial.reason), colour))
        cells += [(parameter(trial.params.get(name)), "") for name in self._names]
        return cells


def _value(trial: Trial) -> str:
    if trial.value is None and trial.not_a_number:
        return number(trial.curve[-1][1])
    return number(trial.value)


def _width(name: str, snapshot: Snapshot) -> int:
    for hyperparameter in snapshot.space:
        if hyperparameter.name == name and isinstance(hyperparameter.distribution, Choice):
            widest = max((len(parameter(o)) for o in hyperparameter.distribution.options), default=0)
            return min(_MAX_PARAMETER, max(len(name), widest))
    return min(_MAX_PARAMETER, max(len(name), 8))
