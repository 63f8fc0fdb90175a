"""A sweep as Markdown, for a comment on a pull request or the summary page of a CI job.

What comes from other people's code stands in <code> with every mark that Markdown knows spelled as a
character reference: a message can neither break a table nor mention somebody on GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..analysis.best import best_trials
from ..analysis.failures import failure_groups
from ..study.snapshot import Snapshot
from ..study.text import MESSAGE_CHARS, one_line
from ..view.signs import OUTCOME_SIGNS
from ..view.words import (
    OUTCOME_WORDS,
    best_of_words,
    best_words,
    direction_words,
    ended_words,
    plural,
    trial_list,
)
from .atomic import write_text
from .text import BEST, beaten_words, best_table

PLOT_COLUMNS = 100  # what GitHub shows without a scroll bar
# GitHub refuses a comment above 65,536 characters; the rest of the report never needs a third of that.
PLOT_CHARS = 44_000
_MARKS = re.compile(r"""[&<>"'\\`*_~|{}\[\]()#+!$@:]""")


def write_markdown(snapshot: Snapshot, path: Path | str) -> None:
    """Raises ReportNotWritten."""
    write_text(path, markdown(snapshot))


def markdown(snapshot: Snapshot) -> str:
    """The report as text that ends with a line end."""
    from ..view.findings import FINDINGS

    counts = snapshot.counts
    tally = {outcome: n for outcome, n in counts.tally.items() if outcome is not None}
    parts = [
        f"### Study {_code(snapshot.study)}: {_headline(snapshot)}",
        _table(
            [f"{OUTCOME_SIGNS[o].glyph} {OUTCOME_WORDS[o]}" for o in tally],
            [[str(n) for n in tally.values()]],
        ),
        f"{ended_words(counts)}.",
    ]
    if trials := best_trials(snapshot, BEST):
        table = best_table(snapshot, trials)
        parts.append(f"**{best_of_words(counts)}** ({direction_words(snapshot)})")
        # The first four columns are numbers of ours under headings of ours, but for the objective's name.
        heading = [table.heading[0], _code(table.heading[1]), *table.heading[2:4]]
        heading += [_code(name) for name in table.heading[4:]]
        rows = [[*row[:4], *(_code(cell) for cell in row[4:])] for row in table.rows]
        parts.append(_table(heading, rows))
    if beaten := beaten_words(snapshot):
        parts.append(_escape(beaten))
    if groups := failure_groups(snapshot):
        parts.append(f"**{plural(sum(len(g.trials) for g in groups), 'trial')} did not finish**")
        rows = [
            [
                _code(g.name),
                " ".join(f"{OUTCOME_SIGNS[outcome].glyph} {n}" for outcome, n in g.tally.items()),
                _code(g.message),
                trial_list(g.trials),
            ]
            for g in groups
        ]
        parts.append(_table(["reason", "ended", "message", "trials"], rows))
    for finding in FINDINGS:
        value = finding.find(snapshot)
        if value is not None and (said := finding.say(value)):
            parts.append(f"**{finding.title}**")
            parts.append("\n".join(f"- {_escape(sentence, len(sentence))}" for sentence in said))
    parts.append(_plots(snapshot))
    return "\n\n".join(parts) + "\n"


def _headline(snapshot: Snapshot) -> str:
    best = snapshot.best
    if best is None:
        return "no trial finished"
    return f"best {_code(one_line(snapshot.objective) or 'value')} {best_words(best)}"


def _plots(snapshot: Snapshot) -> str:
    from ..view.page import page

    text = page(snapshot, PLOT_COLUMNS, color=False).strip("\n")
    if len(text) > PLOT_CHARS:
        return "_The scatterplots are too large for a comment; they are in the study's `summary` folder._"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"<details><summary>Scatterplots</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    escaped = _escape(text)
    return f"<code>{escaped}</code>" if escaped else ""


def _escape(text: str, limit: int = MESSAGE_CHARS) -> str:
    """`text` on one line, as Markdown and HTML show it, whatever it holds."""
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", one_line(text, limit))
