"""How complete the copy in MLflow is: the publisher's notes, and what viewers show of them.

Only the publisher writes the file, and it replaces the whole file each time. It holds how much of the
journal MLflow has, which runs are not done with, and what went wrong. Losing it costs time, never a run:
everything in it can be found again in MLflow by its tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from .folder import StudyFolder, is_locked
from .whole_file import write_alone

MAX_PROBLEMS = 50  # enough to see the pattern; the count goes on
_COUNT_BYTES = 8 << 20  # a viewer asks often; further behind than this is "very far" anyway


@dataclass(frozen=True)
class Notebook:
    """What the publisher has to remember between two runs of it."""

    uri: str = ""
    identity: str = ""  # of the study: a folder made anew under an old name is another study
    experiment_id: str = ""
    parent_run_id: str = ""
    offset: int = 0  # of the journal: all before it is in MLflow, artifacts excepted
    runs: Mapping[int, str] = field(default_factory=dict)  # trial -> run id, until nothing more is owed
    uploads: tuple[str, ...] = ()  # files owed: a trial's number, "search" or "summary"
    doubtful: bool = False  # a run may have been made twice, in an answer we never got
    error: str = ""  # why it does not get on at the moment
    error_since: float = 0.0
    problems: tuple[str, ...] = ()  # what MLflow refused for good; the last MAX_PROBLEMS
    problem_count: int = 0
    updated_at: float = 0.0
    pid: int = 0

    def with_problem(self, problem: str) -> Notebook:
        """The same problem met again (a batch repeated) is one problem."""
        if problem in self.problems:
            return self
        kept = (*self.problems, problem)[-MAX_PROBLEMS:]
        return replace(self, problems=kept, problem_count=self.problem_count + 1)

    def _is_sound(self) -> bool:
        """Whether each value is of its field's type; a file that somebody else wrote may hold anything."""
        numbers = {int: (int,), float: (int, float)}  # a whole number of seconds is one too
        for name, default in vars(Notebook()).items():
            value, kind = getattr(self, name), type(default)
            if not isinstance(value, numbers.get(kind, (kind,))) or (
                kind is not bool and isinstance(value, bool)
            ):
                return False
        texts = (*self.runs.values(), *self.uploads, *self.problems)
        return self.offset >= 0 and all(isinstance(text, str) for text in texts)

    def save(self, path: Path) -> None:
        """Replace the file as a whole."""
        write_alone(path, json.dumps(asdict(self), ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: Path) -> Notebook:
        """The notebook on disk; an empty one when there is none or it cannot be read."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            record = {key: value for key, value in record.items() if key in cls.__dataclass_fields__}
            record["runs"] = {int(trial): run for trial, run in record.get("runs", {}).items()}
            record["uploads"] = tuple(record.get("uploads", ()))
            record["problems"] = tuple(record.get("problems", ()))
            notes = cls(**record)
            return notes if notes._is_sound() else cls()
        except (OSError, ValueError, TypeError, AttributeError):
            return cls()


@dataclass(frozen=True)
class Publication:
    """What a viewer knows of the copy in MLflow."""

    uri: str = ""
    offset: int = 0  # bytes of the journal that are in MLflow
    behind_bytes: int = 0
    journal: Path | None = None
    uploads: int = 0  # runs whose files are still to be copied
    error: str = ""
    error_since: float = 0.0
    problems: tuple[str, ...] = ()
    problem_count: int = 0
    at_work: bool = False  # a publisher lives
    experiment_id: str = ""
    study: str = ""

    @property
    def behind_events(self) -> int:
        """Events that MLflow lacks. Reads the journal behind the offset, so it is for a report and not for a poll."""
        return _lines(self.journal, self.offset) if self.journal is not None and self.behind_bytes else 0

    @property
    def page(self) -> str:
        """Where a browser shows the study's runs; "" where the copy is a file, which `tuner mlflow` serves."""
        if not self.uri.startswith(("http://", "https://")) or not self.experiment_id:
            return ""
        return f"{self.uri.rstrip('/')}/#/experiments/{self.experiment_id}"

    def trial_page(self, trial: int) -> str:
        """Where a browser shows the run of a trial, under that of its study; "" where the copy is a file.

        It is a search for the tags of the run: the publisher forgets the ids of runs that are complete.
        """
        tags = {"tuner.study": self.study, "tuner.trial": trial}
        search = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
        return f"{self.page}/runs?searchFilter={quote(search)}" if self.page else ""

    @property
    def complete(self) -> bool:
        """Whether MLflow has everything."""
        return not self.behind_bytes and not self.uploads

    @property
    def sentence(self) -> str:
        """One line for a person."""
        owed = [f"{self.behind_events} events behind"] if self.behind_bytes else []
        owed += [f"files of {self.uploads} runs to copy"] if self.uploads else []
        said = ", ".join(owed) or "up to date"
        if self.error:
            said += f" ({self.error})"
        elif owed and not self.at_work:
            said += " (no publisher is running: `tuner publish` copies it)"
        if self.problem_count:
            said += f"; {self.problem_count} refused"
        return f"MLflow: {said}"


def publication(folder: StudyFolder) -> Publication:
    """How far MLflow has got with this study. Reads two small files; imports nothing heavy."""
    notebook = Notebook.load(folder.publisher_state)
    try:
        size = folder.journal.stat().st_size
    except FileNotFoundError:
        size = 0
    behind = max(0, size - notebook.offset)
    return Publication(
        uri=notebook.uri, offset=notebook.offset, behind_bytes=behind,
        journal=folder.journal,
        uploads=len(notebook.uploads), error=notebook.error, error_since=notebook.error_since,
        problems=notebook.problems, problem_count=notebook.problem_count,
        at_work=is_locked(publisher_lock(folder)), experiment_id=notebook.experiment_id, study=folder.name,
    )  # fmt: skip


def publisher_lock(folder: StudyFolder) -> Path:
    """Locked by the publisher while it lives."""
    return folder.path / "publisher.lock"


def _lines(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(_COUNT_BYTES).count(b"\n")
