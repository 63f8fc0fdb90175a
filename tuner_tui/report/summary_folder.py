"""The last word on a study, kept beside its journal and copied to MLflow with the parent run.

    <study>/summary/summary.json, scatterplots.txt, scatterplots.png, scatterplots.svg
    <study>/summary/problems.txt   only when one of them could not be made, and why

It is written when everything worth having is already safe in the journal, so nothing here may raise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..study.folder import StudyFolder
from ..study.snapshot import Snapshot
from ..study.text import one_line
from .atomic import write_text
from .machine import write_json

TEXT_COLUMNS = 120  # MLflow's artifact view shows about that much of a line
PICTURES = ("scatterplots.png", "scatterplots.svg")
PROBLEMS = "problems.txt"


def summary_path(folder: StudyFolder) -> Path:
    return folder.path / "summary"


def write_summary(folder: StudyFolder, snapshot: Snapshot) -> tuple[str, ...]:
    """Write what can be written; a sentence for everything that could not. Never raises."""
    place = summary_path(folder)
    parts: dict[str, Callable[[Path], None]] = {
        "summary.json": lambda path: write_json(snapshot, path),
        "scatterplots.txt": lambda path: _write_page(snapshot, path),
    }
    parts |= {name: lambda path: _write_picture(snapshot, path) for name in PICTURES}
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


def _write_page(snapshot: Snapshot, path: Path) -> None:
    from ..view.page import page

    write_text(path, page(snapshot, TEXT_COLUMNS, color=False))


def _write_picture(snapshot: Snapshot, path: Path) -> None:
    from ..view.picture import save_picture

    # Drawn outside the folder that is published, under a name whose ending still says which format.
    beside = path.parent.parent / f".{os.getpid()}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(snapshot, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
