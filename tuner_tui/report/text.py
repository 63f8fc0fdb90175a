"""The summary that a headless sweep prints at its end: scatterplots, best trials, failures, counts.

The order is that of a terminal, where the last lines are the ones in sight.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..analysis.best import best_trials, better_but_unfinished
from ..analysis.failures import FailureGroup, failure_groups
from ..analysis.pace import trial_seconds
from ..analysis.varied import varied
from ..sources.source import Files
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from ..study.text import one_line
from ..view.confirmation import confirmed_words
from ..view.signs import OUTCOME_SIGNS
from ..view.words import (
    best_of_words,
    counts_parts,
    duration,
    ended_words,
    number,
    parameter,
    plural,
    trial_list,
    trial_name,
)
from .output import paint

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = 120  # of a report that goes to a file
BEST = 5  # trials in the table: enough to see what good ones share
NARROWEST = 40  # cells: what the sentences need; a terminal narrower than that breaks lines itself


@dataclass(frozen=True)
class Table:
    """A heading and rows of plain text, all of one length."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def turned(self) -> Table:
        """The same with columns for rows."""
        first, *rest = zip(self.heading, *self.rows, strict=True)
        return Table(tuple(first), tuple(rest))

    @property
    def width(self) -> int:
        """Cells it needs with two between columns."""
        from rich.cells import cell_len

        columns = zip(self.heading, *self.rows, strict=True)
        return sum(max(map(cell_len, column)) + 2 for column in columns) - 2


def summary(snapshot: Snapshot, *, width: int, color: bool, files: Files | None = None) -> str:
    """The report as text that ends with a line end. With `files`, failures name the log to read."""
    from ..view.findings import all_findings

    width = max(width, NARROWEST)
    parts = [all_findings(snapshot, width, color=color).rstrip("\n")]
    parts.append(_best(snapshot, width, color))
    if groups := failure_groups(snapshot):
        parts.append(_failures(groups, width, color, files))
    parts.append(counts_lines(snapshot, width, color=color))
    return "\n\n".join(parts) + "\n"


def counts_lines(snapshot: Snapshot, width: int, *, color: bool) -> str:
    """`● 21 finished  ▲ 6 unfinished  │ 3 never started  30 of 30 trials ended`, broken to fit."""
    counts = snapshot.counts
    lines: list[str] = []
    room = 0
    for style, text in [
        *((OUTCOME_SIGNS[outcome].style, text) for outcome, text in counts_parts(counts)),
        ("bold", ended_words(counts)),
    ]:
        painted = paint(text, style, color)
        if lines and len(text) + 2 <= room:
            lines[-1] += f"  {painted}"
            room -= len(text) + 2
        else:
            lines.append(painted)
            room = width - len(text)
    return "\n".join(lines)


def best_table(snapshot: Snapshot, trials: Sequence[Trial]) -> Table:
    """One row a trial: number, value, steps, time, what fresh runs brought, and every hyperparameter that varies and
    one of them has."""
    names = [name for name in varied(snapshot) if any(name in t.params for t in trials)]
    confirmed = any(t.confirming_runs for t in trials)
    more = ("confirmed",) if confirmed else ()
    heading = (
        "trial",
        one_line(snapshot.objective) or "value",
        "steps",
        "time",
        *more,
        *map(one_line, names),
    )
    rows = tuple(
        (
            trial_name(t),
            number(t.value),
            str(t.steps),
            duration(trial_seconds(t)),
            *((confirmed_words(t),) if confirmed else ()),
            *(parameter(t.params[name]) if name in t.params else "" for name in names),
        )
        for t in trials
    )
    return Table(heading, rows)


def beaten_words(snapshot: Snapshot) -> str:
    """A sentence about an unfinished trial that was ahead of the best; "" when there is none."""
    trial = better_but_unfinished(snapshot)
    if trial is None:
        return ""
    end = f" ({trial.reason})" if trial.reason else ""
    return f"Trial {trial.number} had reached {number(trial.value)} when it ended prematurely{end}."


def _best(snapshot: Snapshot, width: int, color: bool) -> str:
    trials = best_trials(snapshot, BEST)
    if not trials:
        text = paint("No trial finished, so there is no best.", "bold", color)
    else:
        table = best_table(snapshot, trials)
        title = paint(best_of_words(snapshot.counts), "bold", color)
        if table.width <= width:
            text = f"{title}\n{_draw(table, width, color, turned=False)}"
        else:  # many hyperparameters: they go down the page, and as many trials across as fit
            blocks = [_draw(part.turned(), width, color, turned=True) for part in _parts(table, width)]
            text = "\n\n".join([f"{title}\n{blocks[0]}", *blocks[1:]])
    beaten = beaten_words(snapshot)
    return f"{text}\n{beaten}" if beaten else text


def _failures(groups: list[FailureGroup], width: int, color: bool, files: Files | None) -> str:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    for group in groups:
        signs = Text(" ").join(
            Text(f"{OUTCOME_SIGNS[outcome].glyph} {n}", OUTCOME_SIGNS[outcome].style)
            for outcome, n in group.tally.items()
        )
        others = f" (and {plural(group.messages - 1, 'other message')})" if group.messages > 1 else ""
        said = Text((group.message or "no message") + others)
        where = "trial" if len(group.trials) == 1 else "trials"
        said.append(f"\n{where} {trial_list(group.trials)}", style="dim")
        if files is not None:
            said.append(f"\nlog {one_line(str(files.log(group.example.number)), 1000)}", style="dim")
        grid.add_row(Text(group.name, "bold"), Text(str(len(group.trials))), signs, said)
    total = sum(len(group.trials) for group in groups)
    title = paint(f"{plural(total, 'trial')} did not finish", "bold", color)
    return f"{title}\n{_render(grid, width, color)}"


def _parts(table: Table, width: int) -> list[Table]:
    """The table cut into rows that fit the width together once turned; at least one row in each."""
    parts = [Table(table.heading, table.rows[:1])]
    for row in table.rows[1:]:
        longer = Table(table.heading, (*parts[-1].rows, row))
        if longer.turned().width <= width:
            parts[-1] = longer
        else:
            parts.append(Table(table.heading, (row,)))
    return parts


def _draw(table: Table, width: int, color: bool, turned: bool) -> str:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(table.heading):
        left = turned and index == 0
        grid.add_column(Text(name), justify="left" if left else "right", overflow="ellipsis", no_wrap=True)
    best = 0 if not turned else None
    for index, row in enumerate(table.rows):
        style = OUTCOME_SIGNS[Outcome.FINISHED].style if index == best else ""
        grid.add_row(*(Text(cell) for cell in row), style=style)
    return _render(grid, width, color)


def _render(grid: RenderableType, width: int, color: bool) -> str:
    from rich.console import Console

    target = io.StringIO()
    Console(
        file=target, width=width, color_system="truecolor" if color else None, force_terminal=color,
        no_color=not color, legacy_windows=False, highlight=False, markup=False, emoji=False,
    ).print(grid)  # fmt: skip
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())
