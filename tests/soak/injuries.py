"""What a soak does to a running study. Each injury is a real one: a signal, a full disk, a locked database."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field

from support.mlflow_server import Server
from support.sabotage import alive

from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.processes import start_ticks
from tuner_tui.study.requests import Request, ask

from .place import Place, Processes, resume_all, send


@dataclass
class Hits:
    """What was done to the study: the judge allows a trial no bad end without one of these."""

    signals: dict[int, list[str]] = field(default_factory=dict)  # trial -> signals sent to it
    stopped: set[int] = field(default_factory=set)  # trials that somebody asked to stop
    engines: int = 0  # engines that were killed
    stops: int = 0  # requests to stop the study and its running trials
    disks: int = 0  # times the disk was full
    count: int = 0
    story: list[str] = field(default_factory=list)


@dataclass
class Injurer:
    """Hurts one study, from its own source of chance."""

    place: Place
    folder: StudyFolder
    chance: random.Random
    hits: Hits
    server: Server | None = None  # of MLflow, where the study has one
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.processes = Processes(self.folder)

    def hurt(self) -> None:
        """One injury, chosen by chance."""
        choices: list[tuple[int, Callable[[], str]]] = [
            (6, self.kill_trial), (3, self.stop_trial), (3, self.kill_fork_server), (2, self.stop_fork_server),
            (3, self.kill_publisher), (2, self.stop_publisher), (5, self.kill_engine), (1, self.end_engine),
            (2, self.stop_engine), (3, self.fill_disk), (2, self.request), (1, self.second_engine),
            (1, self.lose_notes),
        ]  # fmt: skip
        choices += [(3, self.take_server)] if self.server else [(3, self.lock_database)]
        weights, acts = zip(*choices, strict=True)
        act = self.chance.choices(acts, weights)[0]
        done = act()
        if done:
            self.hits.count += 1
            self.hits.story.append(f"{time.monotonic() - self.began:7.2f} {done}")

    # -- trials ----------------------------------------------------------------------------------------------

    def _trial(self) -> tuple[int, int] | None:
        """(number, pid) of a running trial."""
        running = [
            (trial.number, trial.pid)
            for trial in self.folder.snapshot().trials.values()
            if trial.running
            and trial.pid
            and alive(trial.pid)
            and start_ticks(trial.pid) == trial.process_started
        ]
        return self.chance.choice(running) if running else None

    def kill_trial(self) -> str:
        number = self.chance.choice(
            (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP)
        )
        found = self._trial()
        if found is None:
            return ""
        self.hits.signals.setdefault(found[0], []).append(number.name)  # before: it may be over at once
        send(found[1], number)
        return f"{number.name} to trial {found[0]} ({found[1]})"

    def stop_trial(self) -> str:
        found = self._trial()
        if found is None or not send(found[1], signal.SIGSTOP):
            return ""
        time.sleep(self.chance.uniform(0.05, 0.6))
        resume_all([found[1]])
        return f"trial {found[0]} stopped for a moment"

    # -- processes of tuner ----------------------------------------------------------------------------------

    def kill_fork_server(self) -> str:
        return "fork server killed" if send(self.processes.fork_server(), signal.SIGKILL) else ""

    def stop_fork_server(self) -> str:
        pid = self.processes.fork_server()
        if not send(pid, signal.SIGSTOP):
            return ""
        if self.chance.random() < 0.3:
            return "fork server stopped for good"  # nobody wakes it: tuner has to notice
        time.sleep(self.chance.uniform(0.1, 1.5))
        resume_all([pid or 0])
        return "fork server stopped for a moment"

    def kill_publisher(self) -> str:
        return "publisher killed" if send(self.processes.publisher(), signal.SIGKILL) else ""

    def stop_publisher(self) -> str:
        pid = self.processes.publisher()
        if not send(pid, signal.SIGSTOP):
            return ""
        time.sleep(self.chance.uniform(0.1, 1.5))
        resume_all([pid or 0])
        return "publisher stopped for a moment"

    def kill_engine(self) -> str:
        pid = self.processes.engine()
        if pid is None or time.monotonic() - self.began < 1.0:
            return ""
        self.hits.engines += 1
        return "engine killed" if send(pid, signal.SIGKILL) else ""

    def end_engine(self) -> str:
        pid = self.processes.engine()
        if pid is None:
            return ""
        number = self.chance.choice((signal.SIGTERM, signal.SIGINT))
        self.hits.stops += 1
        send(pid, number)
        if number == signal.SIGINT and self.chance.random() < 0.5:
            time.sleep(0.05)
            send(pid, number)
        return f"{number.name} to the engine"

    def stop_engine(self) -> str:
        pid = self.processes.engine()
        if not send(pid, signal.SIGSTOP):
            return ""
        time.sleep(self.chance.uniform(0.1, 2.0))
        resume_all([pid or 0])
        return "engine stopped for a moment"

    def second_engine(self) -> str:
        if self.processes.engine() is None:
            return ""
        second = self.place.tuner("resume", self.folder.name, "--headless")
        return f"a second engine: exit code {second.returncode}"

    # -- disks and databases ---------------------------------------------------------------------------------

    def fill_disk(self) -> str:
        engine = self.processes.engine()
        if engine is None:
            return ""
        what = self.chance.choice(("blocks", "blocks", "inodes"))
        self.hits.disks += 1
        with self.place.full(what, engine):
            until = time.monotonic() + self.chance.uniform(0.2, 3.0)
            while time.monotonic() < until:
                time.sleep(0.1)
                if self.chance.random() < 0.05:
                    self.hits.story.append(
                        "        while the disk is full: " + (self.kill_trial() or self.kill_fork_server())
                    )
        return f"no {what} left for a while"

    def lose_notes(self) -> str:
        if not self.folder.publisher_state.exists():
            return ""
        self.folder.publisher_state.unlink(missing_ok=True)
        return "the publisher's notes removed"

    def lock_database(self) -> str:
        path = self.place.mlruns / "mlflow.db"
        if not path.exists():
            return ""
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(self.chance.choice((0.5, 2.0, 5.0)))
            connection.execute("ROLLBACK")
            return "MLflow's database locked for a while"
        return ""

    def take_server(self) -> str:
        assert self.server is not None
        if self.chance.random() < 0.5:
            pids = [p for p in self.processes.ours() if p in self.server.pids()]
            for pid in pids:
                send(pid, signal.SIGSTOP)
            time.sleep(self.chance.uniform(0.5, 4.0))
            resume_all(pids)
            return "MLflow's server stopped for a while"
        self.server.kill()
        time.sleep(self.chance.uniform(0.0, 4.0))
        self.server.start()
        return "MLflow's server killed and started again"

    # -- people ----------------------------------------------------------------------------------------------

    def request(self) -> str:
        kind = self.chance.choice(("pause", "kill_trial", "parallel", "rubbish"))
        if kind == "kill_trial":
            found = self._trial()
            if found is None:
                return ""
            self.hits.stopped.add(found[0])
            ask(self.folder.requests, Request("kill_trial", found[0]))
            return f"somebody stops trial {found[0]}"
        if kind == "parallel":
            ask(self.folder.requests, Request("parallel", self.chance.randint(1, 5)))
            return "another number at once"
        if kind == "rubbish":
            with self.folder.requests.open("ab") as file:
                file.write(self.chance.randbytes(40) + self.chance.choice((b"\n", b"")))
            return "rubbish among the requests"
        ask(self.folder.requests, Request("pause"))
        time.sleep(self.chance.uniform(0.1, 1.0))
        ask(self.folder.requests, Request("continue"))
        return "paused for a moment"

    def heal(self) -> None:
        """Wake what is stopped; what is full or locked is so only within an injury."""
        resume_all(self.processes.ours())
