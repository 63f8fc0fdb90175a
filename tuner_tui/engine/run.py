"""Run one study: take the lock, end the trials of a killed engine, start the publisher, handle signals, summarise.

The order matters and is the reason for this file: lock, bury, open, check the target, run, stop everything
started, summarise, close, let the publisher catch up.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..search.builtin import WORKLOADS, is_builtin
from ..search.problems import nearest
from ..search.search import Search
from ..study import cached_fold
from ..study.bury import bury
from ..study.events import StudyClosed, StudyOpened
from ..study.folder import StudyFolder, StudyLock
from ..study.journal import JournalWriter
from ..study.processes import SPARED_VARIABLE
from ..study.requests import Request, RequestReader
from ..study.snapshot import Snapshot, fold_all
from ..trial.child import FILLED_IN
from .engine import Engine
from .interpreter import find_interpreter
from .kept import KeptJournal
from .launcher import BadTarget, Target
from .launchers import make_launcher
from .sampler import make_sampler

PUBLISHER_DRAIN_S = 600.0  # a server can be restarted in this time; `tuner publish` does the rest
_PROGRESS_S = 0.5


@dataclass(frozen=True)
class Ran:
    """How a run of the engine ended."""

    snapshot: Snapshot
    interrupted: bool  # by Ctrl-C or a signal
    unwritten: str = ""  # what is not on disk, and why, as a sentence; "" when everything is


def run_study(
    folder: StudyFolder,
    search: Search | None = None,
    *,
    path: list[str] | None = None,
    gpus: str = "auto",
    python: str | None = None,
    environment: Mapping[str, str] | None = None,
    publisher: Sequence[str] | None = None,
    on_change: Callable[[Snapshot], None] = lambda snapshot: None,
    note: Callable[[str], None] = lambda text: None,
    summarise: Callable[[StudyFolder, Snapshot], object] = lambda folder, snapshot: None,
) -> Ran:
    """Run a study until it is done or told to stop; go on where an earlier engine left off.

    `search`: None for the one that the journal holds. `path`: where targets are looked up first, by default
    what `python_path` says. `gpus` and `python` are what `--gpus` and `--python` say; `environment` are variables
    for all trials and the publisher. `publisher` is the command that copies the journal
    to MLflow; it lives as long as its standard input is open. Raises StudyBusy when another engine has the
    study, NewerFormat when a newer version wrote its journal, BadTarget when the target can't be run (the
    study is then closed as failed).
    """
    lock = StudyLock(folder)
    signals = _Signals(note)
    try:
        bury(folder, lock)
        before = folder.snapshot()
        search = search or before.search
        path = path or python_path(search)
        opened = _opened(folder, search, resumed=before.opened_at is not None)
        requests = RequestReader(folder.requests)
        journal = KeptJournal(JournalWriter(folder.journal), lock, note)
        journal.append([opened])
        snapshot = fold_all(before, [opened])
        on_change(snapshot)
        copy = _Publisher(publisher, folder, environment or {})
        interpreter = find_interpreter(search, python, builtin=is_builtin(search))
        launcher = make_launcher(folder.path, search, path, interpreter, environment)

        def asked() -> list[Request]:
            copy.tend()
            return signals.take() + requests.read() + ([Request("stop_now")] if journal.lost else [])

        def held_up() -> str:
            journal.flush()
            return journal.trouble or journal.lost

        try:
            target = launcher.describe()
            check_target(search, target)
            engine = Engine(
                search, folder, snapshot, launcher=launcher,
                sampler=make_sampler(search, past=snapshot.trials.values()),
                new_sampler=lambda changed: make_sampler(changed, past=engine.snapshot.trials.values()),
                journal=journal, slots=lambda parallel: launcher.slots(parallel, gpus), path=path,
                yields=target.yields, requests=asked, held_up=held_up,
                on_change=on_change,
            )  # fmt: skip
            with signals.caught():
                snapshot = engine.run()
                launcher.close()
                if engine.broken:
                    raise BadTarget(engine.broken)
                if not journal.lost:
                    _without_room(lambda: summarise(folder, snapshot), note)
                why = "stopped" if snapshot.counts.waiting else "completed"
                journal.append([closed := StudyClosed(time.time(), why)])
                snapshot = fold_all(snapshot, [closed])
                _without_room(lambda: cached_fold.save(folder, snapshot), note)
                on_change(snapshot)
        except BadTarget as error:
            journal.append([StudyClosed(time.time(), "failed", str(error))])
            raise
        except KeyboardInterrupt:  # before the first trial: signals are caught from then on
            journal.append([StudyClosed(time.time(), "stopped", "interrupted while importing the target")])
            signals.count += 1
        finally:
            launcher.close()
            unwritten = journal.close()
            lock.release()
            copy.finish(note)
        return Ran(snapshot, signals.count > 0, ". ".join(filter(None, [journal.lost, unwritten])))
    finally:
        lock.release()


def _without_room(write: Callable[[], object], note: Callable[[str], None]) -> None:
    """Write what can be written again from the journal; a full disk costs no more than it."""
    try:
        write()
    except OSError as error:
        note(f"not written: {error}")


def check_target(search: Search, target: Target) -> None:
    """Raise BadTarget when the target can't be called with what the search gives it."""
    names = set(target.names)
    given = set(search.space.names) | set(search.fixed)
    problems: list[str] = []
    if not target.takes_any:
        for name in sorted(given - names):
            remedy = nearest(name, names) or f"; it takes {', '.join(sorted(names))}"
            problems.append(f"{search.target} takes no {name!r}{remedy}")
    conditional = {h.name for h in search.space if h.when}
    for name in target.required:
        if name in FILLED_IN:
            continue
        if name not in given:
            problems.append(f"{search.target} needs {name!r}: add it to [space] or [fixed]")
        elif name in conditional:
            problems.append(f"{search.target} needs {name!r}, which has a `when`: give it a default")
    if problems:
        raise BadTarget("\n".join(problems))


class _Signals:
    """Ctrl-C once: start nothing new. Twice, or a polite kill: stop the running trials too."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.count = 0
        self._note = note
        self._asked: list[Request] = []

    def take(self) -> list[Request]:
        asked, self._asked = self._asked, []
        return asked

    @contextmanager
    def caught(self) -> Iterator[None]:
        handlers = {number: signal.signal(number, self._on) for number in _caught_signals()}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _on(self, number: int, frame: object) -> None:
        self.count += 1
        if number == signal.SIGINT and self.count == 1:
            self._asked.append(Request("stop"))
            self._note("no new trials; waiting for the running ones (Ctrl-C again stops them)")
        else:
            self._asked.append(Request("stop_now"))
            self._note("stopping the running trials")


def _caught_signals() -> list[int]:
    wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    # A detached engine is started with SIGHUP ignored, and must stay deaf to it.
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


class _Publisher:
    """The process that copies the journal to MLflow, kept alive while the study runs."""

    def __init__(
        self, command: Sequence[str] | None, folder: StudyFolder, environment: Mapping[str, str]
    ) -> None:
        self._command = command
        self._environment = {**os.environ, **environment, SPARED_VARIABLE: "1"}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self.tend()

    def tend(self) -> None:
        """Start it when it is not running: it goes on where its predecessor was killed."""
        if self._command is None or (self._process is not None and self._process.poll() is None):
            return
        now = time.monotonic()
        if self._process is not None and now - self._started < 5.0:  # it fails at once: do not spin
            return
        self._started = now
        with (self._folder.path / "publisher.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )

    def finish(self, note: Callable[[str], None]) -> None:
        """Let it carry the rest to MLflow. It goes on by itself when we are not let wait for it."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        said = False
        deadline = time.monotonic() + PUBLISHER_DRAIN_S
        try:
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    self._process.wait(_PROGRESS_S if said else 2.0)
                except subprocess.TimeoutExpired:
                    if not said:
                        note("copying the rest to MLflow (Ctrl-C leaves that to the background)")
                    said = True
        except KeyboardInterrupt:
            note(f"left in the background; `tuner publish {self._folder.name}` makes sure")


def _opened(folder: StudyFolder, search: Search, *, resumed: bool) -> StudyOpened:
    return StudyOpened(
        at=time.time(), study=folder.name, search=search, pid=os.getpid(), host=platform.node(),
        resumed=resumed, git_commit=_git_commit(search.folder or "."),
        versions=_versions(),
    )  # fmt: skip


def _git_commit(folder: str) -> str | None:
    """The commit the target's folder is at, with "-dirty" when it is not quite that."""
    try:
        described = subprocess.run(
            ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("tuner-tui", "torch", "optuna", "mlflow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


def python_path(search: Search) -> list[str]:
    """Where the target's module is looked up first: beside the search file, then where we were started.

    A built-in search belongs to the installed packages: a user's own `models/` must not get in its way.
    """
    if is_builtin(search):
        return [str(WORKLOADS)]
    return list(dict.fromkeys([search.folder or ".", str(Path.cwd())]))
