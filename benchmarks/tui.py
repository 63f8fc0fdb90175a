"""The screen in a real pty: first paint, a key to its frame, bytes, processor and memory, beside textual-plotext.

A study of TRIALS trials and twelve hyperparameters, of which two trials still run and report twice a second (the
benchmark plays their engine: it holds the study's lock and writes the journal). The peer is the obvious way to draw
the same: an app with twelve `PlotextPlot` scatterplots, which marks the next trial in all of them at each key.

    pip install textual-plotext
    python benchmarks/tui.py [--trials 300 3000 10000] [--size 120x40]

Wall times on a busy machine are upper bounds; bytes and processor seconds are not.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from machine import processor

from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study import cached_fold
from tuner_tui.study.events import Event, StudyOpened, TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.folder import StudyFolder, StudyLock
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.outcomes import Outcome, Reason

KEYS = 40  # arrows, one after another has come to rest
LIVE_S = 10.0  # of watching without a key
SETTLE_S = 5.0  # after first paint, until the plots of ten thousand trials are drawn
KINDS = (Float(1e-5, 1e-1, log=True), Float(0.0, 1.0), Int(4, 64), Choice(("a", "b", "c")))
SPACE = Space(tuple(Hyperparameter(f"h{i:02d}", KINDS[i % 4], f"group {i // 4}") for i in range(12)))
PEER = """
import json, sys
from textual.app import App
from textual.containers import Grid
from textual_plotext import PlotextPlot

points = json.load(open(sys.argv[1]))

class Peer(App):
    CSS = "Grid { grid-size: 3 4; }"
    BINDINGS = [("down", "step", "next"), ("q", "quit", "quit")]
    at = 0

    def compose(self):
        with Grid():
            for name in points:
                yield PlotextPlot(name=name)

    def on_mount(self):
        self.draw()

    def draw(self):
        for plot in self.query(PlotextPlot):
            xs, ys = points[plot.name]
            plot.plt.clear_data()
            plot.plt.title(plot.name)
            plot.plt.scatter(xs, ys)
            plot.plt.scatter([xs[self.at]], [ys[self.at]], marker="X")
            plot.refresh()

    def action_step(self):
        self.at += 1
        self.draw()

Peer().run()
"""


@dataclass
class Screen:
    """A command on a pty of a size."""

    pid: int
    fd: int

    @classmethod
    def start(cls, command: list[str], size: tuple[int, int]) -> Screen:
        pid, fd = pty.fork()
        if pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # people's modules are compiled once
            os.execvp(command[0], command)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        return cls(pid, fd)

    def read(self, seconds: float) -> bytes:
        """What arrives within so many seconds."""
        received, until = b"", time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                received += os.read(self.fd, 1 << 16)
        return received

    def until(self, text: bytes) -> float:
        """Seconds until a text has arrived. Raises TimeoutError after a minute."""
        began, received = time.perf_counter(), b""
        while text not in received:
            if time.perf_counter() - began > 60:
                raise TimeoutError(text.decode())
            received += self.read(0.01)
        return time.perf_counter() - began

    def key(self, key: bytes) -> tuple[float, int]:
        """Seconds to the first byte of the answer; bytes within half a second."""
        began = time.perf_counter()
        os.write(self.fd, key)
        select.select([self.fd], [], [], 10.0)
        first = time.perf_counter() - began
        return first, len(self.read(0.5))

    @property
    def processor(self) -> float:
        """Seconds of processor used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close_after(self, text: bytes) -> None:
        self.until(text)
        self.close()

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def events(trials: int) -> list[Event]:
    """A tenth never started, a twentieth ended early; the last two run."""
    rng = random.Random(8)
    search = Search("big", "train:main", "loss", SPACE, trials=trials + 50)
    found: list[Event] = [StudyOpened(1e9, "big-1", search, pid=1)]
    at = 1e9
    for number in range(trials + 2):
        params = {h.name: draw(h.distribution, rng) for h in SPACE}
        found.append(TrialStarted(at, number, params, number))
        if number % 10 == 3 and number < trials:
            found.append(TrialEnded(at + 1, number, Outcome.NO_START, Reason.EXCEPTION, "ValueError: no"))
        else:
            loss = rng.lognormvariate(0.0, 0.7)
            found.append(TrialMeasured(at + 1, number, 0, {"loss": loss}))
            if number < trials:
                early = number % 20 == 7
                outcome = Outcome.UNFINISHED if early else Outcome.FINISHED
                found.append(TrialEnded(at + 2, number, outcome, Reason.TIMEOUT if early else None))
        at += 3
    return found


def draw(distribution: Float | Int | Choice, rng: random.Random) -> object:
    match distribution:
        case Float(low, high, True, _):
            return low * (high / low) ** rng.random()
        case Float(low, high, _, _):
            return rng.uniform(low, high)
        case Int(low, high, _, _):
            return rng.randint(low, high)
        case Choice(options):
            return rng.choice(options)


def live(folder: StudyFolder, trials: int, over: threading.Event) -> None:
    """Two trials report twice a second each."""
    journal, step = JournalWriter(folder.journal), 1
    rng = random.Random(1)
    while not over.wait(0.5):
        at = 2e9 + step
        journal.append([TrialMeasured(at, n, step, {"loss": rng.random()}) for n in (trials, trials + 1)])
        step += 1
    journal.close()


def measure(screen: Screen, painted: bytes) -> dict[str, float]:
    first = screen.until(painted)
    screen.read(SETTLE_S)
    ready = screen.processor
    answers = [screen.key(b"\x1b[B") for _ in range(KEYS)]
    before = screen.processor
    received = len(screen.read(LIVE_S))
    seconds = sorted(first for first, _ in answers)
    return {
        "first_paint_s": first,
        "processor_until_ready_s": ready,
        "key_p50_ms": 1e3 * statistics.median(seconds),
        "key_p95_ms": 1e3 * seconds[int(0.95 * len(seconds))],
        "key_longest_ms": 1e3 * seconds[-1],
        "key_bytes": statistics.median(size for _, size in answers),
        "live_kB_per_s": received / LIVE_S / 1e3,
        "live_processor_percent": 100 * (screen.processor - before) / LIVE_S,
        "megabytes": screen.megabytes,
    }


def ours(trials: int, size: tuple[int, int], root: Path) -> dict[str, float]:
    folder = StudyFolder(root / "mlruns" / "big-1")
    folder.path.mkdir(parents=True)
    writer = JournalWriter(folder.journal)
    writer.append(events(trials))
    writer.close()
    lock, over = StudyLock(folder), threading.Event()
    cached_fold.save(folder, folder.snapshot())
    thread = threading.Thread(target=live, args=(folder, trials, over))
    thread.start()
    command = [sys.executable, "-m", "tuner_tui.cli", "open", "big", "--mlruns", str(root / "mlruns")]
    Screen.start(command, size).close_after(b"big-1")  # compiles the modules
    screen = Screen.start(command, size)
    try:
        return measure(screen, b"big-1")
    finally:
        screen.close()
        over.set()
        thread.join()
        lock.release()


def peer(trials: int, size: tuple[int, int], root: Path) -> dict[str, float] | None:
    try:
        import textual_plotext  # noqa: F401
    except ImportError:
        return None
    rng = random.Random(8)
    points = {
        h.name: ([rng.random() for _ in range(trials)], [rng.lognormvariate(0.0, 0.7) for _ in range(trials)])
        for h in SPACE
    }
    (root / "points.json").write_text(json.dumps(points))
    (root / "peer.py").write_text(PEER)
    command = [sys.executable, str(root / "peer.py"), str(root / "points.json")]
    Screen.start(command, size).close_after(b"h00")
    screen = Screen.start(command, size)
    try:
        return measure(screen, b"h00")
    finally:
        screen.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[300, 3000, 10000])
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    found: dict[str, object] = {"machine": processor(), "size": options.size}
    for trials in options.trials:
        with tempfile.TemporaryDirectory() as here:
            us = ours(trials, (width, height), Path(here))
            them = peer(trials, (width, height), Path(here))
        found[str(trials)] = {"tuner": us, "textual-plotext": them}
        print(f"\n{trials} trials at {options.size}")
        for name, value in us.items():
            other = them[name] if them else 0.0
            beside = f"{other:>12.2f}  ratio {value / other:.2f}" if other else ""
            print(f"  {name:<26}{value:>12.2f}{beside}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
