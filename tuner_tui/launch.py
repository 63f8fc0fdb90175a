"""Open, run and resume studies: the one place where search, engine, record and report are put together.

The verbs of `cli.py` and the TUI's keys end here. A study can run in this process (headless) or in a session
of its own, which no closing terminal reaches (TUI); it is the same engine either way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .search.builtin import find_search
from .search.file import load_search
from .search.search import Search
from .study.folder import StudyFolder, create_study
from .study.snapshot import Snapshot


@dataclass(frozen=True)
class Plan:
    """What an engine has to know beside the search itself. Kept as launch.json in the study's folder."""

    search: Search
    gpus: str = "auto"  # auto, none, or numbers such as "0,1"
    tracking_uri: str | None = None  # None: the SQLite store beside the studies
    parallel: int | None = None  # overrides the search's own

    def save(self, folder: StudyFolder) -> None:
        record = asdict(replace(self, search=Search("", "", "", self.search.space))) | {
            "search": self.search.to_json()
        }
        temporary = folder.path / "launch.json.new"
        temporary.write_text(json.dumps(record, indent=1))
        temporary.rename(folder.path / "launch.json")

    @classmethod
    def load(cls, folder: StudyFolder) -> Plan:
        """Raises ValueError with a sentence when the folder holds no plan that can be read."""
        try:
            record = json.loads((folder.path / "launch.json").read_text())
            return cls(**record | {"search": Search.from_json(record["search"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{folder.name}: launch.json can't be read ({error}); start a new sweep"
            ) from error


def open_study(root: Path, plan: Plan, source: Path, name: str | None = None) -> StudyFolder:
    """A new folder with what was asked in it; nothing runs yet."""
    folder = create_study(root, name or plan.search.name)
    folder.search_file.write_bytes(source.read_bytes())
    plan.save(folder)
    return folder


def run_here(
    folder: StudyFolder,
    *,
    on_change: Callable[[Snapshot], None] = lambda snapshot: None,
    note: Callable[[str], None] = lambda text: None,
):
    """Run or resume the study in this process; see `engine.run.run_study` for what it returns and raises."""
    from .engine.run import python_path, run_study
    from .engine.slots import make_slots, parse_gpus
    from .report.summary_folder import write_summary

    plan = Plan.load(folder)
    parallel = plan.parallel or plan.search.parallel
    return run_study(
        folder,
        plan.search,
        make_slots(parallel, parse_gpus(plan.gpus)),
        path=python_path(plan.search),
        publisher=publisher_command(folder, plan.tracking_uri),
        on_change=on_change,
        note=note,
        summarise=write_summary,
    )


def run_detached(folder: StudyFolder) -> None:
    """Run or resume the study in a session of its own and return at once; its words go to engine.log."""
    with folder.engine_log.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tuner_tui.cli", "engine", str(folder.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ),
        )  # fmt: skip


def launch(root: Path, text: str) -> StudyFolder:
    """Start a built-in search, or the search file at a path, detached. Raises SearchError for a bad one."""
    source = find_search(text, Path.cwd())
    folder = open_study(root, Plan(load_search(source)), source)
    run_detached(folder)
    return folder


def publisher_command(folder: StudyFolder, tracking_uri: str | None) -> list[str]:
    from .record.uri import tracking_uri as resolve

    uri = resolve(folder.path.parent, tracking_uri)
    module = "tuner_tui.record.publisher"
    return [sys.executable, "-m", module, str(folder.path), "--tracking-uri", uri, "--follow"]
