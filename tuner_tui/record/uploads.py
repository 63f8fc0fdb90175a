"""A trial's files as artifacts: its log, its traceback and whatever it left in `out`.

Each file is copied by itself, so that one that cannot be read costs itself alone and is named. Copying a
file again replaces it: an interrupted upload is simply repeated. A link that leads out of the study's folder is not
followed: a trial could make anything readable here an artifact, and a shared server shows it to others. What a trial
left beyond `limits.artifacts_gb`, or beyond a number of files, stays in its folder and is counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..study.folder import StudyFolder
from ..study.snapshot import Trial
from .errors import Refused
from .names import MAX_PARAM, clean, param_text
from .store import Store

_Owed = tuple[Path, str | None]  # a file, and the artifact folder it goes into
MAX_FILES = (
    10_000  # of a trial's `out`: a server takes minutes for so many, and all other trials wait for them
)
SEARCH, SUMMARY = "search", "summary"  # what is owed to the parent run; every other name is a trial's number


def upload_study(store: Store, run_id: str, folder: StudyFolder, name: str) -> list[str]:
    """Copy the search file or the closing summary to the parent run; the sentences of what went wrong."""
    if name == SEARCH:
        files: list[_Owed] = [(folder.search_file, None)] if folder.search_file.is_file() else []
    else:
        files = list(_tree(folder.path / "summary", None))
    return _upload(store, run_id, files, "study", folder.path)


def upload_trial(store: Store, run_id: str, folder: StudyFolder, trial: Trial, most_bytes: int) -> list[str]:
    """Copy what the trial left behind, of its `out` at most so many bytes; the sentences of what went wrong. Raises
    Away with the store."""
    number = trial.number
    # An empty log tells nothing that its absence does not.
    files: list[_Owed] = [
        (path, None)
        for path in (folder.log(number), folder.traceback(number))
        if path.is_file() and path.stat().st_size
    ]
    kept, beyond = _within(_tree(folder.out(number), "out"), most_bytes)
    problems = _upload(store, run_id, files + kept, f"trial {number}", folder.path)
    if beyond:
        problems.append(f"trial {number}: {beyond}; they are in {folder.out(number)}")
    long = {name: value for name, value in trial.params.items() if len(param_text(value)) > MAX_PARAM}
    if long:
        store.upload_text(run_id, clean(json.dumps(long, ensure_ascii=False, indent=1)), "params.json")
    return problems


def _within(files: Iterator[_Owed], most_bytes: int) -> tuple[list[_Owed], str]:
    """Those of the files that are copied, and what the others are, as a sentence."""
    kept: list[_Owed] = []
    taken = beyond = beyond_bytes = 0
    for file, into in files:
        try:
            size = file.stat().st_size
        except OSError:
            size = 0  # it will be named when it can't be copied
        if len(kept) < MAX_FILES and taken + size <= most_bytes:
            kept.append((file, into))
            taken += size
        else:
            beyond, beyond_bytes = beyond + 1, beyond_bytes + size
    if not beyond:
        return kept, ""
    return kept, (
        f"{beyond} file{'s' if beyond > 1 else ''} of out ({beyond_bytes / 2**30:.3g} GiB) not copied: "
        f"limits.artifacts_gb is {most_bytes / 2**30:g}, and {MAX_FILES:,} files is the most"
    )


def _upload(store: Store, run_id: str, files: list[_Owed], whose: str, home: Path) -> list[str]:
    problems: list[str] = []
    for file, into in files:
        try:
            if not file.is_file():  # a broken link, a pipe, a socket: reading it would fail, or never end
                raise OSError("it is not a file")
            if not file.resolve().is_relative_to(home.resolve()):
                raise OSError("it is a link that leads out of the study's folder")
            store.upload(run_id, file, into)
        except OSError as error:
            problems.append(f"{whose}: {into or ''}/{file.name} was not copied: {error.strerror or error}")
        except Refused as error:
            problems.append(f"{whose}: {into or ''}/{file.name} was refused: {error}")
    return problems


def _tree(top: Path, into: str | None) -> Iterator[_Owed]:
    """All files under `top`, each with the artifact folder it belongs in, in a steady order."""
    if top.is_symlink():
        yield top, None
        return
    for here, folders, names in os.walk(top):
        folders.sort()
        within = Path(here).relative_to(top).as_posix()
        parts = [part for part in (into, within) if part and part != "."]
        for name in sorted(names):
            yield Path(here) / name, "/".join(parts) or None
        for name in folders:
            if (linked := Path(here) / name).is_symlink():  # not followed: it may lead anywhere, or round
                yield linked, "/".join(parts) or None
