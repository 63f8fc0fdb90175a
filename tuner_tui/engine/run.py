"""Run one study: take the lock, end the trials of a killed engine, start the publisher, handle signals, summarise.

The order matters and is the reason for this file: lock, bury, open, check the target, run, stop everything
started, summarise, close. The publisher catches up after that, by itself.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from ..study.private import UMASK
from ..study.processes import SPARED_VARIABLE
from ..study.publication import Notebook
from ..study.requests import Request, RequestReader
from ..study.snapshot import Snapshot, Trial, fold_all
from ..trial.child import FILLED_IN
from .clock import steady_time
from .engine import Engine
from .interpreter import find_interpreter
from .kept import KeptJournal, Pause
from .launcher import BadTarget, CannotRun, Target
from .launchers import make_launcher
from .pruner import make_pruner
from .sampler import make_sampler

STORE_S = 120.0  # importing MLflow and making its database takes 5 to 30 s on a busy machine
COPY_S = 600.0  # the longest wait for a copy that goes on well; the publisher goes on by itself then
_GOES_ON = "the sweep goes on, and MLflow gets the rest when it answers"
_LOOK_S = 2.0  # how often the publisher's notes are read: a small file


@dataclass(frozen=True)
class Ran:
    """How a run of the engine ended."""

    snapshot: Snapshot
    interrupted: bool  # by Ctrl-C or a signal
    copy: MlflowCopy  # goes on by itself; wait for it where the machine goes away, as in CI
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
    warn: Callable[[str], None] = lambda text: None,
    summarise: Callable[[StudyFolder, Snapshot], object] = lambda folder, snapshot: None,
) -> Ran:
    """Run a study until it is done or told to stop; go on where an earlier engine left off.

    `search`: None for the one that the journal holds. `path`: where targets are looked up first, by default
    what `python_path` says. `gpus` and `python` are what `--gpus` and `--python` say; `environment` are variables
    for all trials and the publisher. `publisher` is the command that copies the journal to MLflow; it learns of
    the end by its standard input, and nobody waits for it here: see `Ran.copy`. `warn` is told when MLflow does not
    answer. Raises StudyBusy when another engine has the study, NewerFormat when a newer version wrote its journal,
    CannotRun when the target or the sampler can't be (the study is then closed as failed).
    """
    lock = StudyLock(folder)
    signals = _Signals(note)
    try:
        bury(folder, lock)
        before = folder.snapshot()
        search = search or before.search
        environment = {**(environment or {}), "MLFLOW_EXPERIMENT_NAME": search.experiment or folder.name}
        path = path or python_path(search)
        opened = _opened(folder, search, resumed=before.opened_at is not None)
        requests = RequestReader(folder.requests)
        pause = Pause(lock, note)
        journal = KeptJournal(JournalWriter(folder.journal), pause)
        journal.append([opened])
        snapshot = fold_all(before, [opened])
        on_change(snapshot)
        copy = MlflowCopy(publisher, folder, environment, warn)
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
                sampler=make_sampler(search, past=past(snapshot)),
                new_sampler=lambda changed: make_sampler(changed, past=past(engine.snapshot)),
                pruner=make_pruner(search, past=(t for t in past(snapshot) if not t.running)),
                journal=journal, slots=lambda parallel: launcher.slots(parallel, gpus), path=path,
                yields=target.yields, requests=asked, held_up=held_up,
                hold=lambda why: pause.because("launch", why), on_change=on_change,
            )  # fmt: skip
            if logs_to_mlflow(search):
                copy.wait_for_store(note)
            with signals.caught():
                snapshot = engine.run()
                launcher.close()
                if engine.broken:
                    raise BadTarget(engine.broken)
                if not journal.lost:
                    _without_room(lambda: summarise(folder, snapshot), note)
                why = "stopped" if snapshot.counts.waiting or snapshot.retriable else "completed"
                journal.append([closed := StudyClosed(steady_time(), why)])
                snapshot = fold_all(snapshot, [closed])
                _without_room(lambda: cached_fold.save(folder, snapshot), note)
                on_change(snapshot)
        except CannotRun as error:
            journal.append([StudyClosed(steady_time(), "failed", str(error))])
            unwritten = journal.close()
            raise CannotRun(f"{error}\nnot recorded: {unwritten}") if unwritten else error from None
        except KeyboardInterrupt:  # before the first trial: signals are caught from then on
            journal.append([StudyClosed(steady_time(), "stopped", "interrupted while importing the target")])
            signals.count += 1
        finally:
            launcher.close()
            unwritten = journal.close()
            lock.release()
            copy.close()
        unwritten = ". ".join(filter(None, [journal.lost, unwritten]))
        return Ran(snapshot, signals.count > 0, copy, unwritten)
    finally:
        lock.release()


def _without_room(write: Callable[[], object], note: Callable[[str], None]) -> None:
    """Write what can be written again from the journal; a full disk costs no more than it."""
    try:
        write()
    except OSError as error:
        note(f"not written: {error}")


def logs_to_mlflow(search: Search) -> bool:
    """Whether trials talk to MLflow themselves, as far as the search and the file it runs say."""
    if search.share_run:
        return True
    module = search.target.removeprefix("optuna:").partition(":")[0].replace(".", "/")
    files = [f"{module}.py"] if module else search.command[1:3]
    for name in files:
        try:
            if "mlflow" in Path(search.folder or ".", name).read_text(errors="replace").lower():
                return True
        except (OSError, ValueError):
            continue
    return False


def check_target(search: Search, target: Target) -> None:
    """Raise BadTarget when the target can't be called with what the search gives it."""
    names = set(target.names)
    given = set(search.space.names) | set(search.fixed) | set(search.secret)
    problems = [
        f"[secret] {name}: the environment has no {variable}; export it where tuner is started"
        for name, variable in search.secret.items()
        if not os.environ.get(variable)
    ]
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


def past(snapshot: Snapshot) -> list[Trial]:
    """The trials that have ended. Those that will be tried again are as if they ran: how they end is yet to come."""
    again = set(snapshot.retriable)
    return [
        replace(trial, outcome=None, reason=None, ended_at=None) if number in again else trial
        for number, trial in snapshot.trials.items()
        if not trial.running
    ]


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


class MlflowCopy:
    """The process that copies the journal to MLflow: kept alive while the study runs, then left to finish."""

    def __init__(
        self,
        command: Sequence[str] | None,
        folder: StudyFolder,
        environment: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self._command = command
        self._environment = {**os.environ, **environment, SPARED_VARIABLE: "1"}
        self._folder = folder
        self._warn = warn
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._looked = 0.0
        self._not_started = ""  # why it could not be started
        self._trouble = ""  # what was said of it last
        self.tend()

    def tend(self) -> None:
        """Start it when it is not running: it goes on where its predecessor was killed. Say what troubles it."""
        if self._command is None:
            return
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            self._say(self._error(), _GOES_ON)
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and now - self._started < 5.0:  # it fails at once: do not spin
            return
        if self._not_started and now - self._started < 5.0:
            return
        self._started = now
        try:
            with (self._folder.path / "publisher.log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                    env=self._environment, umask=UMASK,
                )  # fmt: skip
            self._not_started = ""
        except OSError as error:  # a full disk, no more processes: the journal goes on without a copy
            self._not_started = f"its publisher can't be started: {error}"
            self._say(self._error(), _GOES_ON)  # now: a short sweep is over before the next look

    def wait_for_store(self, note: Callable[[str], None]) -> None:
        """Wait until the study's experiment is there: a trial that finds no database would make one of its own, in
        the same place at the same time. Where MLflow does not answer, the sweep goes on without it."""
        deadline = time.monotonic() + STORE_S
        said = False
        while self._process is not None and time.monotonic() < deadline:
            self.tend()
            if Notebook.load(self._folder.publisher_state).experiment_id:
                return
            if self._error():
                break
            if not said:
                note("trials log to MLflow themselves: waiting until its experiment is there")
                said = True
            time.sleep(0.1)

    def close(self) -> None:
        """Tell it that the study is over: it copies the rest and ends."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, seconds: float, note: Callable[[str], None]) -> bool:
        """Wait until MLflow has everything; False when it has not.

        `seconds`: how long to wait while MLflow does not answer. A copy that goes on is waited for, unless
        `seconds` is 0. It goes on in the background where nobody waits.
        """
        if self._process is None and not self._not_started:
            return True
        began = time.monotonic()
        deadline = None
        said = False
        try:
            while self._process is not None and self._process.poll() is None and seconds > 0:
                now = time.monotonic()
                error = self._error()
                if error and deadline is None:
                    deadline = now + seconds
                    self._trouble = ""  # it may have been said hours ago, and now somebody waits
                elif not error:
                    deadline = None
                self._say(error, f"waiting up to {seconds:g} s (--mlflow-wait)")
                if (deadline is not None and now > deadline) or now - began > COPY_S:
                    break
                if not said and not error and now - began > 2.0:
                    note("copying the rest to MLflow (Ctrl-C leaves that to the background)")
                    said = True
                try:
                    self._process.wait(0.5)
                except subprocess.TimeoutExpired:
                    pass
        except KeyboardInterrupt:
            pass
        if self._process is not None and self._process.poll() == 0 and not self._not_started:
            notes = Notebook.load(self._folder.publisher_state)
            if notes.problem_count:
                self._warn(
                    f"MLflow refused {notes.problem_count} things, such as {notes.problems[-1]}; "
                    f"{self._folder.path / 'publisher.log'} has them all"
                )
            return True
        self._warn(
            f"MLflow does not have everything yet{self._because()}; "
            f"`tuner publish {self._folder.name}` copies what is missing"
        )
        return False

    def _error(self) -> str:
        if self._not_started:
            return self._not_started
        notes = Notebook.load(self._folder.publisher_state)
        ours = self._process is not None and notes.pid == self._process.pid
        return notes.error if ours else ""  # an earlier publisher's trouble may be over

    def _because(self) -> str:
        error = self._error()
        return f" ({error})" if error else ""

    def _say(self, error: str, then: str) -> None:
        """Each trouble once, and its end."""
        if error == self._trouble:
            return
        self._trouble = error
        self._warn(f"MLflow: {error}; {then}" if error else "MLflow answers again")


def _opened(folder: StudyFolder, search: Search, *, resumed: bool) -> StudyOpened:
    return StudyOpened(
        at=steady_time(), study=folder.name, search=search, pid=os.getpid(), host=platform.node(),
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
