"""One self-contained page: pictures as SVG inside it, nothing fetched, readable without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ...analysis.best import best_trials
from ...analysis.failures import failure_groups
from ...sources.source import Files
from ...study.snapshot import Snapshot
from ...view.findings import FINDINGS, SCATTERPLOTS
from ...view.page import as_text
from ...view.words import best_of_words, counts_parts, direction_words, ended_words, trial_list
from ..atomic import write_text
from ..picture import picture_bytes
from ..reproduce import facts, search_text, sentences
from ..text import BEST, COLUMNS, beaten_words, best_table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h2 { margin-top: 2.2rem } table { border-collapse: collapse }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left }
svg { max-width: 100%; height: auto } pre { overflow-x: auto }
"""


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    write_text(path, page(snapshot))


def page(snapshot: Snapshot) -> str:
    """The whole page as HTML."""
    name = escape(snapshot.study)
    counts = snapshot.counts
    tally = "  ".join(words for _, words in counts_parts(counts))
    parts = [
        f"<h1>{name}</h1>",
        f"<p>{escape(snapshot.objective)}, {direction_words(snapshot)}. {ended_words(counts)}: {escape(tally)}.</p>",
    ]
    for finding in FINDINGS:
        value = finding.find(snapshot)
        if value is None:
            continue
        parts.append(f"<h2>{escape(finding.title)}</h2>")
        if finding is SCATTERPLOTS:
            parts.append(_svg(snapshot))
        elif not finding.picture and (said := finding.say(value)):
            parts += [f"<p>{escape(sentence)}</p>" for sentence in said]
        else:
            parts.append(f"<pre>{escape(as_text(finding.draw(value, COLUMNS, False), color=False))}</pre>")
    if trials := best_trials(snapshot, BEST):
        table = best_table(snapshot, trials)
        parts += [
            f"<h2>{best_of_words(counts)}</h2>",
            _table(table.heading, table.rows),
        ]
    if beaten := beaten_words(snapshot):
        parts.append(f"<p>{escape(beaten)}</p>")
    if groups := failure_groups(snapshot):
        rows = [(group.name, group.message, trial_list(group.trials)) for group in groups]
        parts += ["<h2>Trials that did not finish</h2>", _table(("reason", "message", "trials"), rows)]
    parts += _reproduce(snapshot)
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _reproduce(snapshot: Snapshot) -> list[str]:
    parts = ["<h2>To run it again</h2>", *(f"<p>{escape(sentence)}</p>" for sentence in sentences(snapshot))]
    if text := search_text(snapshot):
        parts.append(f"<pre>{escape(text)}</pre>")
    return [*parts, _table(("", "of this study"), facts(snapshot))]


def _svg(snapshot: Snapshot) -> str:
    text = picture_bytes(snapshot, ".svg").decode()
    return text[text.index("<svg") :]  # without the XML declaration, which HTML has no place for


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
