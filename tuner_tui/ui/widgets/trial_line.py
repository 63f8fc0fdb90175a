"""The selected trial in one line, for a terminal too small to show its detail beside the plots."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from ...study.snapshot import Snapshot
from ...study.text import printable
from ...view.signs import OUTCOME_TONES, end_sign
from ...view.words import number, outcome_word, parameter
from .trial_table import varied


class TrialLine(Widget):
    """The selected trial in one line, for a narrow screen."""

    snapshot: reactive[Snapshot] = reactive(Snapshot, always_update=True)
    selected: reactive[int | None] = reactive(None)
    alive: reactive[bool] = reactive(True)

    def render(self) -> Content:
        width = max(1, self.content_size.width)
        trial = self.snapshot.trials.get(self.selected) if self.selected is not None else None
        if trial is None:
            return Content.styled("↑↓ or a click selects a trial", "$quiet").truncate(width, ellipsis=True)
        colour = f"${OUTCOME_TONES[trial.outcome]}"
        what = (
            f"{trial.reason}: {printable(trial.message)}" if trial.reason else outcome_word(trial, self.alive)
        )
        values = "  ".join(
            f"{name} {parameter(trial.params[name])}"
            for name in varied(self.snapshot)
            if name in trial.params
        )
        line = Content.assemble(
            (f"#{trial.number} ", "bold"), (f"{end_sign(trial).glyph} ", colour),
            (f"{number(trial.value)}  ", "bold"),
            (f"{what}  ", colour), (values, "$quiet"),
        )  # fmt: skip
        return line.truncate(width, ellipsis=True)
