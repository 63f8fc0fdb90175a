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
from dataclasses import dataclass, replace
from pathlib import Path

from .engine.launcher import BadTarget
from .report.atomic import ReportNotWritten
from .search.builtin import find_search
from .search.file import load_search
from .search.problems import Problem, SearchError
from .search.search import Search, finder_search
from .study.folder import StudyBusy, StudyFolder, create_study, list_studies
from .study.journal import JournalNotWritten
from .study.snapshot import Snapshot


class BadInput(Exception):
    """What was asked can't be done as asked; str() says why and what can."""


# What ends a command with a sentence and exit code 2 instead of a traceback.
REFUSALS = (BadInput, SearchError, BadTarget, StudyBusy, ReportNotWritten, JournalNotWritten)

# A killed engine's trials are buried under its lock, in milliseconds; a resume that comes just then waits.
BURIAL_S = 2.0


@dataclass(frozen=True)
class Plan:
    """What an engine has to know beside the search itself. Kept as launch.json in the study's folder."""

    search: Search
    gpus: str = "auto"  # auto, none, or numbers such as "0,1"
    tracking_uri: str | None = None  # None: the SQLite store beside the studies

    def save(self, folder: StudyFolder) -> None:
        record = {"search": self.search.to_json(), "gpus": self.gpus, "tracking_uri": self.tracking_uri}
        temporary = folder.path / "launch.json.new"
        temporary.write_text(json.dumps(record, indent=1))
        temporary.rename(folder.path / "launch.json")

    @classmethod
    def load(cls, folder: StudyFolder) -> Plan:
        """Raises BadInput when the folder holds no plan that can be read."""
        try:
            record = json.loads((folder.path / "launch.json").read_text())
            return cls(**record | {"search": Search.from_json(record["search"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"{folder.name}: launch.json can't be read ({error}); start a new sweep"
            ) from error


def open_study(root: Path, plan: Plan, source: Path, name: str | None = None) -> StudyFolder:
    """A new folder with what was asked in it; nothing runs yet."""
    folder = create_study(root, name or plan.search.name)
    folder.search_file.write_bytes(source.read_bytes())
    plan.save(folder)
    return folder


def find_study(root: Path, name: str | None) -> StudyFolder:
    """The study called `name`, or the only one that begins so, or the newest."""
    found = list_studies(root)
    if not found:
        raise BadInput(f"no studies in {root}; `tuner sweep` starts one")
    if name is None:
        return found[0]
    exact = [folder for folder in found if folder.name == name]
    begins = exact or [folder for folder in found if folder.name.startswith(name)]
    if len(begins) == 1:
        return begins[0]
    names = ", ".join(folder.name for folder in (begins or found)[:8])
    raise BadInput(
        f"{name!r} is {'more than one study' if begins else 'no study'} in {root}; there is {names}"
    )


def changed_plan(
    folder: StudyFolder, trials: int | None, parallel: int | None, gpus: str | None, uri: str | None
) -> Plan:
    """The plan an engine left, with what a resume changes. Trials added while it ran are kept."""
    if not folder.let_go(within=BURIAL_S):
        raise BadInput(f"{folder.name} is running; `tuner` shows it")
    plan, snapshot = Plan.load(folder), folder.snapshot()
    planned = trials or max(plan.search.trials, snapshot.planned)
    if planned < len(snapshot.trials):
        raise BadInput(f"--trials {planned}: {folder.name} has had {len(snapshot.trials)} trials already")
    if snapshot.opened_at and not snapshot.counts.running and planned == len(snapshot.trials):
        raise BadInput(f"{folder.name} is done: all {planned} trials have ended; `--trials N` adds more")
    check_gpus(gpus or plan.gpus)
    return replace(
        plan,
        search=replace(plan.search, trials=planned, parallel=parallel or plan.search.parallel),
        gpus=gpus or plan.gpus,
        tracking_uri=uri or plan.tracking_uri,
    )


def check_gpus(text: str) -> None:
    """Raise BadInput when `--gpus text` names what this machine does not have."""
    from .engine.slots import parse_gpus

    try:
        parse_gpus(text)
    except ValueError as error:
        raise BadInput(str(error)) from error


def finder_plan(search: Search, source: Path, gpus: str, tracking_uri: str | None) -> Plan:
    """The plan that runs a search's finder. Raises SearchError when the file names none."""
    if not search.finder:
        message = 'missing; name a learning-rate finder: finder = "module:function" (docs/search-files.md)'
        raise SearchError([Problem(str(source), "finder", message)])
    return Plan(finder_search(search), gpus, tracking_uri)


def check_search_target(search: Search) -> None:
    """Import the target, and the finder if there is one, each in a process of its own.

    Raises BadTarget when one can't run this search.
    """
    _check_target(search)
    if search.finder:
        _check_target(finder_search(search), required=False)  # `--set` may give what it lacks


def _check_target(search: Search, *, required: bool = True) -> None:
    import tempfile

    from .engine.local import LocalLauncher
    from .engine.run import check_target, python_path

    with tempfile.TemporaryDirectory() as folder:
        launcher = LocalLauncher(Path(folder), search.target, python_path(search))
        try:
            signature = launcher.signature()
            check_target(search, signature if required else {**signature, "required": []})
        finally:
            launcher.close()


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
    return run_study(
        folder,
        plan.search,
        make_slots(plan.search.parallel, parse_gpus(plan.gpus)),
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


def launch_finder(root: Path, text: str) -> StudyFolder:
    """Start the learning-rate finder of a search, detached. Raises SearchError for a search without one."""
    source = find_search(text, Path.cwd())
    folder = open_study(root, finder_plan(load_search(source), source, "auto", None), source)
    run_detached(folder)
    return folder


def resume(folder: StudyFolder) -> None:
    """Go on with a study, detached. Raises BadInput when it runs, or has nothing left to do."""
    changed_plan(folder, None, None, None, None).save(folder)
    run_detached(folder)


def publisher_command(folder: StudyFolder, tracking_uri: str | None) -> list[str]:
    from .record.uri import tracking_uri as resolve

    uri = resolve(folder.path.parent, tracking_uri)
    module = "tuner_tui.record.publisher"
    return [sys.executable, "-m", module, str(folder.path), "--tracking-uri", uri, "--follow"]
