"""The last word on a study, kept beside its journal and copied to MLflow with the parent run.

    <study>/summary/summary.json, scatterplots.png, scatterplots.svg
    <study>/summary/<finding>.txt  what there is to be seen: scatterplots.txt, crash-bias.txt, ...
    <study>/summary/problems.txt   only when one of them could not be made, and why

It is written when everything worth having is already safe in the journal, so nothing here may raise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..study.folder import StudyFolder
from ..study.snapshot import Snapshot
from ..study.text import one_line
from ..view.findings import FINDINGS
from ..view.page import as_text
from .atomic import write_text
from .machine import write_json
from .picture import write_picture

TEXT_COLUMNS = 120  # MLflow's artifact view shows about that much of a line
PICTURES = ("scatterplots.png", "scatterplots.svg")
PROBLEMS = "problems.txt"


def summary_path(folder: StudyFolder) -> Path:
    """The folder of the study's summary."""
    return folder.path / "summary"


def write_summary(folder: StudyFolder, snapshot: Snapshot) -> tuple[str, ...]:
    """Write what can be written; a sentence for everything that could not. Never raises."""
    place = summary_path(folder)
    parts: dict[str, Callable[[Path], None]] = {
        "summary.json": lambda path: write_json(snapshot, path),
    }
    for finding in FINDINGS:
        if lines := finding.lines(snapshot, TEXT_COLUMNS, color=False):
            text = as_text(lines, color=False)
            parts[f"{finding.id}.txt"] = lambda path, text=text: write_text(path, text)
    parts |= {name: lambda path: write_picture(snapshot, path) for name in PICTURES}
    problems: list[str] = []
    for name, write in parts.items():
        try:
            write(place / name)
        except Exception as error:
            words = one_line(str(error), 1000) or "no message"
            problems.append(f"{place / name} could not be made: {type(error).__name__}: {words}")
    try:
        if problems:
            write_text(place / PROBLEMS, "".join(f"{problem}\n" for problem in problems))
        else:
            (place / PROBLEMS).unlink(missing_ok=True)
    except OSError as error:
        problems.append(str(error))
    return tuple(problems)
