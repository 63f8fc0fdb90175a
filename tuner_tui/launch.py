"""Create, run and resume studies: the one place that combines search, engine, record and report.

The commands of `cli/` and the keys of the screen call these functions. A study runs in this process (headless)
or in a session of its own, which survives the terminal (screen); the engine is the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engine.launcher import CannotRun, Launcher, Target
from .engine.sampler import check_sampler
from .report.atomic import ReportNotWritten, write_text
from .search.builtin import find_search, is_builtin
from .search.file import load_search
from .search.problems import Problem, SearchError
from .search.search import UNKNOWN, Search, finder_search
from .search.write import to_toml
from .sources import find_source
from .sources.journal import JournalSource
from .sources.source import Source, SourceError
from .study.events import Event, StudyAsked, TrialConfirmed
from .study.folder import StudyBusy, StudyFolder, StudyLock, create_study
from .study.history import history
from .study.journal import JournalNotWritten, JournalWriter, NewerFormat, check_writable
from .study.private import UMASK, private_files
from .study.snapshot import Snapshot

if TYPE_CHECKING:
    from .engine.interpreter import Interpreter
    from .engine.run import Ran


class BadInput(Exception):
    """What was asked can't be done as asked; str() says why and what can."""


# What ends a command with a sentence and exit code 2 instead of a traceback.
REFUSALS = (
    BadInput, SearchError, CannotRun, StudyBusy, NewerFormat, ReportNotWritten, JournalNotWritten, SourceError,
)  # fmt: skip

# A killed engine's trials are buried under its lock, in milliseconds; a resume that comes just then waits.
BURIAL_S = 2.0


@dataclass(frozen=True)
class Resources:
    """What a study runs on. Not part of its question, so it is kept as launch.json and not in the journal."""

    gpus: str = "auto"  # auto, none, or numbers such as "0,1"
    # of MLflow; None: the environment's, else the SQLite store beside the studies
    tracking_uri: str | None = None
    python: str | None = None  # what runs the trials; None: tuner's own interpreter

    def save(self, folder: StudyFolder) -> None:
        """Keep them, with the store that the environment names at this moment. Raises ReportNotWritten."""
        from .record.uri import remembered

        kept = asdict(self) | {"tracking_uri": remembered(self.tracking_uri)}
        write_text(folder.path / "launch.json", json.dumps(kept, indent=1))

    @classmethod
    def load(cls, folder: StudyFolder) -> Resources:
        """Raises BadInput when the folder's launch.json can't be read."""
        try:
            record = json.loads((folder.path / "launch.json").read_text())
            return cls(record["gpus"], record["tracking_uri"], record.get("python"))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"{folder.name}: launch.json can't be read ({error}); start a new sweep"
            ) from error


def new_study(
    root: Path,
    search: Search,
    resources: Resources,
    source: Path | None,
    name: str | None = None,
    past: Source | None = None,
) -> StudyFolder:
    """A new folder whose journal holds the question; nothing runs yet.

    `source`: the search file, kept as it is; None where there is none that says this. `past`: a study whose trials
    the new one begins with. Raises BadInput where they can't be (`past_trials`).
    """
    before = past_trials(past, search) if past else []
    search = replace(search, experiment=search.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", ""))
    folder = create_study(root, name or search.name)
    with private_files():
        folder.search_file.write_bytes(source.read_bytes() if source else to_toml(search).encode())
        resources.save(folder)
        _ask(folder, search, before)
    return folder


def past_trials(past: Source, search: Search) -> list[Event]:
    """The trials of another study, as a study of `search` begins with them.

    Raises BadInput where none has ended, or where the other study is better in the other direction; SourceError where
    it can't be read.
    """
    snapshot = past.snapshot()
    if snapshot.direction != search.direction:
        raise BadInput(
            f"--from {past.address}: its direction is {snapshot.direction}, and that of this search is "
            f'{search.direction}; set direction = "{snapshot.direction}", or leave --from out'
        )
    events = history(snapshot, past.address, search.objective)
    if not events:
        raise BadInput(f"--from {past.address}: no trial of it has ended")
    return events


def study_at(root: Path, name: str, search: Search, resources: Resources) -> StudyFolder:
    """The study of this search under exactly this name, a new one or the one that is there.

    Raises BadInput when another search is there.
    """
    folder = StudyFolder(root / name)
    if folder.journal.is_file():
        if folder.snapshot().search != search:
            raise BadInput(
                f"{folder.path} holds another search; remove {root}, or give the search another name"
            )
        return folder
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with private_files():
        folder.search_file.write_text(to_toml(search), encoding="utf-8")
        resources.save(folder)
        _ask(folder, search)
    return folder


def run_unpublished(folder: StudyFolder, note: Callable[[str], None]) -> Snapshot | None:
    """Run or resume a study in this process without copying it to MLflow; None when it was interrupted."""
    from .engine.run import run_study

    resources = Resources.load(folder)
    environment = {"MLFLOW_TRACKING_URI": store_uri(folder, resources.tracking_uri)}
    with private_files():
        ran = run_study(
            folder, gpus=resources.gpus, python=resources.python, environment=environment, note=note
        )
    return None if ran.interrupted else ran.snapshot


def _ask(folder: StudyFolder, search: Search, before: Sequence[Event] = ()) -> None:
    """Write the question into the journal, and what is known before it is asked; under the lock: no engine may be
    writing."""
    lock = StudyLock(folder)
    try:
        journal = JournalWriter(folder.journal)
        try:
            journal.append([StudyAsked(time.time(), folder.name, search), *before])
        finally:
            journal.close()
    finally:
        lock.release()


def find_study(root: Path, name: str | None) -> StudyFolder:
    """The folder of the study called `name`, or of the only one that begins so, or of the newest.

    Raises SourceError when there is none, BadInput for a study that another program runs.
    """
    return own_folder(find_source(root, name))


def own_folder(source: Source) -> StudyFolder:
    """The folder of a study that tuner can run. Raises BadInput for one that another program runs."""
    if not isinstance(source, JournalSource):
        raise BadInput(f"{source.address} can only be looked at: another program runs it")
    return source.folder


def prepare_resume(
    folder: StudyFolder,
    *,
    trials: int | None = None,
    parallel: int | None = None,
    gpus: str | None = None,
    tracking_uri: str | None = None,
    python: str | None = None,
) -> None:
    """Make a study ready for another engine, with what the resume changes. Trials added while it ran are kept.

    Raises BadInput when it runs, or has nothing left to do; NewerFormat when a newer version wrote it.
    """
    if not folder.let_go(within=BURIAL_S):
        raise BadInput(f"{folder.name} is running; `tuner` shows it")
    resources, snapshot = Resources.load(folder), folder.snapshot()
    check_writable(snapshot)
    if snapshot.search == UNKNOWN:
        raise BadInput(f"{folder.name}: its journal does not say what to run; start a new sweep")
    planned = trials or max(snapshot.search.trials, snapshot.planned)
    had = len(snapshot.own.trials)
    if planned < had:
        raise BadInput(f"--trials {planned}: {folder.name} has had {had} trials already")
    if snapshot.opened_at and not (snapshot.counts.running or snapshot.retriable) and planned == had:
        raise BadInput(f"{folder.name} is done: all {planned} trials have ended; `--trials N` adds more")
    changed = Resources(
        gpus or resources.gpus, tracking_uri or resources.tracking_uri, python or resources.python
    )
    search = replace(snapshot.search, trials=planned, parallel=parallel or snapshot.search.parallel)
    with private_files():
        settled(search, changed).save(folder)
    if search != snapshot.search or planned != snapshot.planned:
        _ask(folder, search)


def settled(search: Search, resources: Resources) -> Resources:
    """The resources with the interpreter that was found; what the trials need to start has been checked.

    Raises BadTarget for an interpreter or a command that is not there, BadSampler for a sampler that lacks a package,
    BadInput for a GPU that is not there.
    """
    check_sampler(search)
    interpreter, _ = interpreter_of(search, resources.python)
    with _a_launcher(search, interpreter) as launcher:
        try:
            launcher.slots(search.parallel, resources.gpus)
        except ValueError as error:
            raise BadInput(str(error)) from error
    return replace(resources, python=None if interpreter.ours else interpreter.path)


def spread(search: Search, gpus: str) -> Search:
    """The search with as many trials at once as its `trials_per_gpu` means on these GPUs; `gpus` as --gpus has it.

    Raises BadInput for a GPU that is not there.
    """
    from .engine.slots import parse_gpus, places

    if not search.trials_per_gpu:
        return search
    try:
        return replace(search, parallel=places(search, parse_gpus(gpus)))
    except ValueError as error:
        raise BadInput(str(error)) from error


def interpreter_of(search: Search, option: str | None) -> tuple[Interpreter, str]:
    """What runs the trials of a search, and its version. `option`: what --python says. Raises BadTarget."""
    from .engine.interpreter import check_interpreter, find_interpreter

    interpreter = find_interpreter(search, option, builtin=is_builtin(search))
    return interpreter, check_interpreter(interpreter)


def finder_of(search: Search, source: Path) -> Search:
    """The search that runs a search's finder. Raises SearchError when the file names none."""
    if not search.finder:
        message = 'missing; name a learning-rate finder: finder = "module:function" (docs/search-files.md)'
        raise SearchError([Problem(str(source), "finder", message)])
    return finder_search(search)


def check_search_target(search: Search, interpreter: Interpreter) -> None:
    """Import the target, and the finder and the refiner if there are any, each in a process of its own.

    Raises BadTarget when one can't run this search.
    """
    _check_target(search, interpreter)
    if search.finder:  # `--set` may give what it lacks
        _check_target(finder_search(search), interpreter, required=False)
    if search.refiner:
        _check_target(replace(search, target=search.refiner, command=()), interpreter, required=False)


def describe_target(search: Search, interpreter: Interpreter) -> Target:
    """What a search's target takes, whatever the search gives it. Raises BadTarget when it can't be imported."""
    with _a_launcher(search, interpreter) as launcher:
        return launcher.describe()


def _check_target(search: Search, interpreter: Interpreter, *, required: bool = True) -> None:
    from .engine.run import check_target

    with _a_launcher(search, interpreter) as launcher:
        target = launcher.describe()
        check_target(search, target if required else replace(target, required=()))


@contextmanager
def _a_launcher(search: Search, interpreter: Interpreter) -> Iterator[Launcher]:
    """A launcher to ask before there is a study."""
    import tempfile

    from .engine.launchers import make_launcher
    from .engine.run import python_path

    with tempfile.TemporaryDirectory() as folder:
        launcher = make_launcher(Path(folder), search, python_path(search), interpreter)
        try:
            yield launcher
        finally:
            launcher.close()


def run_here(
    folder: StudyFolder,
    *,
    on_change: Callable[[Snapshot], None] = lambda snapshot: None,
    note: Callable[[str], None] = lambda text: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Ran:
    """Run or resume the study in this process; see `engine.run.run_study` for what it returns and raises."""
    from .engine.run import run_study
    from .report.summary_folder import write_summary

    resources = Resources.load(folder)
    with private_files():
        ran = run_study(
            folder,
            gpus=resources.gpus,
            python=resources.python,
            environment={"MLFLOW_TRACKING_URI": store_uri(folder, resources.tracking_uri)},
            publisher=publisher_command(folder),
            on_change=on_change,
            note=note,
            warn=warn,
            summarise=write_summary,
        )
    try:
        mark_confirmed(folder, ran.snapshot)
    except (OSError, BadInput, JournalNotWritten, StudyBusy) as error:
        warn(f"the confirmed trials are not marked in their study: {error}")
    return ran


def mark_confirmed(folder: StudyFolder, snapshot: Snapshot) -> None:
    """Write into the journal of the study that `snapshot` confirms what its trials brought. Raises StudyBusy when an
    engine has that study, OSError or JournalNotWritten where it can't be written."""
    from .analysis.confirmation import confirmation

    found = confirmation(snapshot)
    there = None if found is None else StudyFolder(folder.path.parent / found.study)
    if found is None or there is None or not there.journal.is_file():
        return
    now = time.time()
    events = [
        TrialConfirmed(now, t.point.trial, folder.name, len(t.values) + t.failed, t.values)
        for t in found.trials
        if t.point.trial is not None and len(t.values) + t.failed
    ]
    lock = StudyLock(there)
    try:
        journal = JournalWriter(there.journal)
        try:
            journal.append(events)
        finally:
            journal.close()
    finally:
        lock.release()
    if there.publisher_state.exists():  # else its copy would be said to lack these events for ever
        uri = store_uri(there, Resources.load(there).tracking_uri)
        with private_files(), (there.path / "publisher.log").open("ab") as log:
            subprocess.Popen(
                publisher_command(there), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "MLFLOW_TRACKING_URI": uri}, umask=UMASK,
            )  # fmt: skip


def run_detached(folder: StudyFolder) -> None:
    """Run or resume the study in a session of its own and return at once; its words go to engine.log."""
    with private_files(), folder.engine_log.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tuner_tui.cli", "engine", str(folder.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ),
            umask=UMASK,
        )  # fmt: skip


def launch(root: Path, search: Search, source: Path | None, gpus: str = "auto") -> StudyFolder:
    """Start a search, detached. `source`: the file that says just this. Raises BadInput where it can't run here."""
    search = spread(search, gpus)
    folder = new_study(root, search, settled(search, Resources(gpus)), source)
    run_detached(folder)
    return folder


def first_trials(search: Search, count: int) -> list[dict[str, Any]]:
    """The parameters that the first trials of a search will have."""
    from .engine.sampler import make_sampler

    sampler = make_sampler(search)
    return [sampler.ask(number) for number in range(count)]


def command_line(search: Search, number: int, drawn: dict[str, Any]) -> str:
    """What a trial of a search with a command would run, as a shell would have it; its folder is not known yet."""
    from shlex import join

    from .engine.engine import trial_seed
    from .search.command import expand

    folder = f"TRIALS/{number}"
    filled = {
        "seed": trial_seed(search.seed, number), "out": f"{folder}/out", "device": "DEVICE", "trial": number,
        "slot": 0, "folder": search.folder or ".", "params_file": f"{folder}/params.json",
    }  # fmt: skip
    return join(expand(search.command, {**search.fixed, **drawn}, filled))


def launch_finder(root: Path, text: str) -> StudyFolder:
    """Start the learning-rate finder of a search, detached. Raises SearchError for a search without one."""
    source = find_search(text, Path.cwd())
    finder = finder_of(load_search(source), source)
    folder = new_study(root, finder, settled(finder, Resources()), source)
    run_detached(folder)
    return folder


def resume(source: Source) -> None:
    """Go on with a study, detached. Raises BadInput when it runs, or has nothing left to do."""
    folder = own_folder(source)
    prepare_resume(folder)
    run_detached(folder)


def publisher_command(folder: StudyFolder) -> list[str]:
    """The command that copies the study to where MLFLOW_TRACKING_URI says while its standard input is open."""
    return [sys.executable, "-m", "tuner_tui.record.publisher", str(folder.path), "--follow"]


def store_uri(folder: StudyFolder, tracking_uri: str | None) -> str:
    """Where a study is copied to, as MLflow names it."""
    from .record.uri import tracking_uri as resolve

    return resolve(folder.path.parent, tracking_uri)
