"""Soak tuner for some minutes: one study after the other, each hurt by chance until it is done, and judged.

    PYTHONPATH=tests python -m soak --seed 1 --minutes 15 [--rounds 3] [--keep]

The seed chooses the studies and what is done to them, not the instants, which the machine has its part in. Exit code
1 when a study was judged faulty; its folder is then kept, and what was done to it is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support import reaper
from support.mlflow_server import Server
from support.patience import PATIENCE_S

from tuner_tui.launch import run_detached
from tuner_tui.record.uri import tracking_uri
from tuner_tui.study.folder import StudyFolder, is_locked
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.publication import publisher_lock
from tuner_tui.study.snapshot import Snapshot

from . import judge
from .injuries import Hits, Injurer
from .place import Place, Processes, descriptors, in_own_mounts, send
from .target import FATES

TARGET = Path(__file__).with_name("target.py")
LEAVE_S = 60.0  # the last processes of a study: a publisher that was just started imports MLflow before it can leave


@dataclass(frozen=True)
class Plan:
    """One study to hurt."""

    trials: int
    parallel: int
    isolation: str
    script: bool
    retries: int
    detached: bool
    server: bool
    empty: bool  # the database is made while the study is hurt already
    pause: float  # seconds between two injuries, on average

    @classmethod
    def drawn(cls, chance: random.Random, trials: int) -> Plan:
        return cls(
            trials=trials, parallel=chance.randint(1, 4), isolation=chance.choice(("fork", "fork", "fork", "spawn")),
            script=chance.random() < 0.25, retries=chance.choice((0, 0, 1, 3)), detached=chance.random() < 0.5,
            server=chance.random() < 0.3, empty=chance.random() < 0.2, pause=chance.choice((0.1, 0.3, 0.7, 1.5)),
        )  # fmt: skip

    def search(self, name: str) -> str:
        how = 'target = "target:train"'
        if self.script:
            words = '"python", "target.py", "--x", "{x}", "--fate", "{fate}", "--seed", "{seed}"'
            how = f'objective = "loss"\ncommand = [{words}]'
        isolation = "" if self.script else f'isolation = "{self.isolation}"'
        return (
            f'name = "{name}"\n{how}\ntrials = {self.trials}\nparallel = {self.parallel}\nretries = {self.retries}\n'
            f"{isolation}\n"
            f"[space]\nx = {{ log = [0.1, 10.0] }}\nfate = {{ int = [0, {FATES - 1}] }}\n"
            "[limits]\ntrial_seconds = 120\ngrace_seconds = 1\n"
        )


@dataclass
class Round:
    """One study, hurt and healed and judged."""

    plan: Plan
    chance: random.Random
    place: Place
    server: Server | None
    name: str  # of the search; a server has all rounds
    spared: Callable[[], list[int]]  # the processes of a server, which other rounds need
    template: Path | None  # an empty database, which takes MLflow seconds to make
    hits: Hits = field(default_factory=Hits)
    faults: list[str] = field(default_factory=list)
    most_files: int = 0  # that an engine had open
    running: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        shutil.copy(TARGET, self.place.disk / "target.py")
        (self.place.disk / "soak.toml").write_text(self.plan.search(self.name))
        self.place.mlruns.mkdir()
        if self.template and not self.plan.empty:
            shutil.copy(self.template, self.place.mlruns / "mlflow.db")
        self.folder = StudyFolder(self.place.mlruns / f"{self.name}-1")
        self.processes = Processes(self.folder)
        self.uri = self.server.uri if self.server else tracking_uri(self.place.mlruns, None)

    def run(self, seconds: float) -> None:
        """Hurt the study for at most so long, let it end, and judge it."""
        store = ("--tracking-uri", self.uri) if self.server else ()
        self.running = self.place.start("sweep", "soak.toml", "--headless", "--mlflow-wait", "0", *store)
        began = time.monotonic()
        while not self._opened() and time.monotonic() < began + PATIENCE_S:
            time.sleep(0.05)
        injurer = Injurer(self.place, self.folder, self.chance, self.hits, self.server)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._ended():
            time.sleep(self.chance.expovariate(1 / self.plan.pause))
            self._look()
            injurer.hurt()
            if self.processes.engine() is None and not self._ended():
                time.sleep(self.chance.choice((0.0, 0.1, 1.0, 4.0)))
                self._go_on()
        injurer.heal()
        self._let_it_end()
        self._judge()

    def _opened(self) -> bool:
        return self.folder.journal.exists() and self.folder.snapshot().opened_at is not None

    def _ended(self) -> bool:
        snapshot = self.folder.snapshot()
        return snapshot.counts.ended == self.plan.trials

    def _look(self) -> None:
        if engine := self.processes.engine():
            self.most_files = max(self.most_files, descriptors(engine))

    def _go_on(self) -> None:
        """Resume, as a person would: by the command or, detached, by the screen's key."""
        if self.running is not None and self.running.poll() is None:
            return  # it has only just been started, or is about to leave
        if self.plan.detached and self._opened():
            for name, value in self.place.environment().items():
                os.environ[name] = value
            run_detached(self.folder)
            self.running = None
            time.sleep(1.0)
        else:
            self.running = self.place.start("resume", self.folder.name, "--headless", "--mlflow-wait", "0")

    def _let_it_end(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self._ended() or self.processes.engine() is not None:
            if time.monotonic() > deadline:
                self.faults.append(
                    f"it does not end: {self.folder.snapshot().counts}, {self.folder.trouble()!r}"
                )
                break
            self._look()
            if self.processes.engine() is None:
                if self.running is not None and self.running.poll() is not None and self.running.returncode not in (
                    0, 1, 2, 3, 4, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT
                ):  # fmt: skip
                    self.faults.append(f"tuner left with exit code {self.running.returncode}")
                self._go_on()
            time.sleep(0.3)
        if self.running is not None:
            self.running.wait(PATIENCE_S)
        while is_locked(publisher_lock(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.server:
            self.server.wait()
        store = ("--tracking-uri", self.uri) if self.server else ()
        while True:  # the publisher of an engine before the last may have waited for its turn
            published = self.place.tuner("publish", self.folder.name, *store)
            if "at work" not in published.stdout + published.stderr or time.monotonic() > deadline:
                break
        if published.returncode:
            self.faults.append(f"tuner publish: {published.stdout}{published.stderr}")

    def _judge(self) -> None:
        snapshot = self.folder.snapshot()
        self.faults += judge.journal_faults(self.place, self.folder, self.plan.trials)
        for trial in snapshot.trials.values():
            self.faults += judge.trial_faults(self.place, trial, self.hits)
        interrupted = sum(t.reason is Reason.INTERRUPTED for t in snapshot.trials.values())
        if interrupted > self.hits.engines * 5:
            self.faults.append(
                f"{interrupted} interrupted trials, after {self.hits.engines} kills of the engine"
            )
        self.faults += judge.words_faults(self.place, self.folder)
        self.faults += judge.opened_files(self.place, self.plan.trials)
        if self.most_files > 60:
            self.faults.append(f"an engine had {self.most_files} files open")
        self.faults += judge.copies_faults(self.place, self.folder, snapshot, self.uri)
        self.faults += judge.leftovers(self.place, self.folder, self._left())

    def _left(self) -> list[int]:
        deadline = time.monotonic() + LEAVE_S
        while True:
            left = [pid for pid in self.processes.ours() if pid not in self.spared()]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    def counts(self) -> Snapshot:
        return self.folder.snapshot()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=10**6, help="at most so many studies")
    parser.add_argument("--trials", type=int, default=120, help="of each study")
    parser.add_argument("--no-server", action="store_true", help="MLflow's SQLite store only")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all studies")
    given = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.pop(
        reaper.MARK, None
    )  # a mark of its own: a test run has other processes, which are none of ours
    reaper.start()
    home = Path(tempfile.mkdtemp(prefix="tuner-soak-"))
    chance = random.Random(given.seed)
    server, template = None, home / "empty.db"
    _make_database(template)
    until = time.monotonic() + given.minutes * 60
    total = {"studies": 0, "trials": 0, "injuries": 0, "engines killed": 0, "faulty": 0}
    number = 0
    try:
        while number < given.rounds and (number == 0 or time.monotonic() < until):
            plan = Plan.drawn(chance, given.trials)
            if given.no_server:
                plan = Plan(**{**plan.__dict__, "server": False})
            if plan.server and server is None:
                server = Server(home)
                server.start()
                server.wait()
            place = Place(home / f"round-{number}")
            seed = chance.getrandbits(32)
            ran = Round(
                plan,
                random.Random(seed),
                place,
                server if plan.server else None,
                f"soak-{number}",
                server.pids if server else list,
                template,
            )
            ran.run(min(60.0, max(5.0, until - time.monotonic())))
            snapshot = ran.counts()
            total["studies"] += 1
            total["trials"] += len(snapshot.trials)
            total["injuries"] += ran.hits.count
            total["engines killed"] += ran.hits.engines
            print(
                f"round {number}: {plan}\n  {ran.hits.count} injuries, {ran.hits.engines} engines killed, "
                f"{snapshot.counts}, at most {ran.most_files} files open", flush=True,
            )  # fmt: skip
            if ran.faults:
                total["faulty"] += 1
                print("  " + "\n  ".join(ran.hits.story))
                print("  FAULTY: " + "\n  FAULTY: ".join(ran.faults))
                kept = Path(tempfile.gettempdir()) / f"tuner-soak-seed{given.seed}-round{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(place.home, kept, symlinks=True)
                print(f"  kept in {kept}", flush=True)
            if not given.keep:
                place.remove()
            number += 1
    finally:
        if server is not None:
            server.kill()
        for pid in Processes(StudyFolder(home)).ours():
            send(pid, signal.SIGKILL)
        if not given.keep:
            for place in home.glob("round-*"):
                subprocess.run(["umount", "-l", place / "disk"], capture_output=True, check=False)
            shutil.rmtree(home, ignore_errors=True)
    print(", ".join(f"{count} {what}" for what, count in total.items()))
    return 1 if total["faulty"] else 0


def _make_database(path: Path) -> None:
    from tuner_tui.record.opening import open_client, prepare_environment

    prepare_environment()
    open_client(f"sqlite:///{path}", path.parent)


if __name__ == "__main__":
    in_own_mounts(["-m", "soak", *sys.argv[1:]])
    sys.exit(main())
