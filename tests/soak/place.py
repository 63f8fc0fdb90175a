"""Where a soak happens: a small file system that can be filled, notes and temporary files outside of it, and the
processes that belong to it, told from all others by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support import reaper
from support.sabotage import TUNER, alive

from tuner_tui.study.folder import StudyFolder

ROOM_MB = 64
INODES = 4000


@dataclass
class Place:
    """`disk`: a tmpfs where this user may mount one, else a plain folder, where a full disk is a limit on the size of
    files."""

    home: Path
    mounted: bool = False

    def __post_init__(self) -> None:
        for folder in (self.disk, self.notes, self.temporary):
            folder.mkdir(parents=True)
        options = f"size={ROOM_MB}m,nr_inodes={INODES},mode=700"
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tuner-soak", self.disk], capture_output=True, check=False
        )
        self.mounted = mount.returncode == 0

    @property
    def disk(self) -> Path:
        return self.home / "disk"

    @property
    def notes(self) -> Path:
        return self.home / "notes"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def mlruns(self) -> Path:
        return self.disk / "mlruns"

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SOAK_NOTES": str(self.notes), "TMPDIR": str(self.temporary)}

    def tuner(self, *words: str, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TUNER, *words],
            cwd=self.disk,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A running `tuner`, its words in out.txt, which is on no full disk."""
        with (self.home / "out.txt").open("a") as out:
            return subprocess.Popen(
                [*TUNER, *words], cwd=self.disk, env=self.environment(), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, text=True, start_new_session=True,
            )  # fmt: skip

    @contextlib.contextmanager
    def full(self, what: str, engine: int):
        """No room for a while: of `blocks` or `inodes` where the disk is ours, else for the files of the engine."""
        if not self.mounted:
            self._limit([engine], 1000)  # more than the lock's file holds
            try:
                yield
            finally:  # what was started meanwhile has inherited the limit
                self._limit(reaper.marked(os.environ[reaper.MARK]), resource.RLIM_INFINITY)
            return
        filler = self.disk / "filler"
        filler.mkdir(exist_ok=True)
        try:
            if what == "blocks":
                with (filler / "blocks").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(1 << 16))
            else:
                with contextlib.suppress(OSError):
                    for number in range(INODES):
                        (filler / str(number)).touch()
            yield
        finally:
            shutil.rmtree(filler, ignore_errors=True)

    def _limit(self, pids: list[int], bytes_: int) -> None:
        for pid in pids:
            with contextlib.suppress(OSError, ValueError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                soft = hard if bytes_ == resource.RLIM_INFINITY else bytes_
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", self.disk], check=False)
        shutil.rmtree(self.home, ignore_errors=True)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


@dataclass(frozen=True)
class Processes:
    """The processes of one study, as they are at this moment. All bear this run's mark."""

    folder: StudyFolder

    def ours(self) -> list[int]:
        marked = reaper.marked(os.environ[reaper.MARK])
        return [pid for pid in marked if alive(pid) and "support/reaper.py" not in command_of(pid)]

    def engine(self) -> int | None:
        try:
            pid = int(self.folder.lock_file.read_text().split("\n")[0])
        except (OSError, ValueError):
            return None
        command = command_of(pid)
        is_engine = "tuner_tui.cli" in command and (
            " resume " in command or " sweep " in command or " engine " in command
        )
        return pid if is_engine and pid in self.ours() and self.folder.engine_alive() else None

    def fork_server(self) -> int | None:
        found = [pid for pid in self.ours() if "start.py warm" in command_of(pid) and os.getsid(pid) == pid]
        return found[0] if found else None

    def publisher(self) -> int | None:
        found = [pid for pid in self.ours() if "tuner_tui.record.publisher" in command_of(pid)]
        return found[0] if found else None


def send(pid: int | None, number: int) -> bool:
    """Send a signal to a process of ours that may be gone meanwhile."""
    if pid is None or pid <= 1 or pid == os.getpid():
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def in_own_mounts(arguments: list[str]) -> None:
    """Go on in a mount namespace of our own, where there is one to be had: what is mounted goes with us."""
    if os.environ.get("SOAK_UNSHARED") or shutil.which("unshare") is None:
        return
    words = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        os.environ["SOAK_UNSHARED"] = "1"
        os.execvp(words[0], [*words, sys.executable, *arguments])


def resume_all(pids: list[int]) -> None:
    for pid in pids:
        send(pid, signal.SIGCONT)
