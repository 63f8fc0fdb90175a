"""What a GitHub Actions job is told: annotations on its page, and a summary.

Annotations are lines on standard output (`::error title=...::message`), the summary is Markdown appended to the
file that GITHUB_STEP_SUMMARY names. Source: docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..analysis.failures import failure_groups
from ..study.snapshot import Snapshot
from ..view.words import plural, trial_list
from .fail_if import Verdict
from .markdown import markdown

MOST_ANNOTATIONS = 10  # of each kind, that GitHub shows for one step
MOST_BYTES = 1_000_000  # of a step's summary: GitHub refuses one above 1 MiB


def in_actions() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotations_of(snapshot: Snapshot, verdicts: Iterable[Verdict]) -> list[str]:
    """An error for every condition that held and for a study without a result, a warning for each kind of failure."""
    errors = [annotation("error", "tuner --fail-if", v.sentence) for v in verdicts if v.holds]
    if not snapshot.counts.finished:
        errors.append(annotation("error", "tuner", f"study {snapshot.study}: no trial finished"))
    warnings = [
        annotation(
            "warning", f"tuner: {group.name}",
            f"{plural(len(group.trials), 'trial')} of study {snapshot.study} did not finish: {group.message} "
            f"({trial_list(group.trials)})",
        )
        for group in failure_groups(snapshot)
    ]  # fmt: skip
    return errors[:MOST_ANNOTATIONS] + warnings[:MOST_ANNOTATIONS]


def annotation(kind: str, title: str, message: str) -> str:
    """One annotation; `kind` is error, warning or notice. Whatever the message holds, it stays one command."""
    title = _escape(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_escape(message)}"


def add_summary(snapshot: Snapshot) -> str:
    """Append the Markdown report to the step's summary; a sentence where that failed, else ""."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return ""
    text = markdown(snapshot)
    try:
        there = Path(path).stat().st_size if Path(path).exists() else 0
        if there + len(text.encode()) > MOST_BYTES:
            return "the report does not fit into the step's summary, which GitHub keeps below 1 MiB"
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        return f"{path}: the step's summary can't be written ({error.strerror or error})"
    return ""


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
