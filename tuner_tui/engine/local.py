"""The launcher for this machine: each trial runs in its own process, forked from the warm fork server or started
fresh.

How each kind of event reaches us:
  - a measurement: the trial's own pipe;
  - the end of a trial: its pidfd, then its exit status, which only a parent may read: the fork server is asked
    for it. This process has declared itself the reaper of its descendants (Linux's child subreaper), so when
    the server is killed its trials become our children, go on, and we read their status ourselves;
  - the end of the engine, which the trials must notice: each trial's lifeline (lifeline.py).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..search.search import Limits
from ..study.log import shorten
from ..study.private import UMASK
from ..study.processes import STUDY_VARIABLE, children, is_stopped, kill_adopted, kill_survivors, start_ticks
from .clock import AHEAD, steady_time
from .forkserver import START, ForkServer, ServerDied
from .interpreter import OURS, Interpreter, environment_of
from .launcher import BadTarget, Exited, Job, LauncherEvent, NotNow, Said, Started, Target
from .slots import Slot, make_slots, parse_gpus, raise_descriptor_limit
from .usage import Usage, oom_kills, system_metrics, usage_by_group

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_READ_BYTES = 1 << 16
_MEMORY_CHECK_S = 0.25  # a runaway allocation fills a few GB in this time, not a machine
_LOGS_CHECK_S = 0.2  # a program that prints as fast as it can writes 100 MB or so in this time
_LAUNCH_TRIES = 3  # the server can be killed while it starts a trial; thrice in a row is no accident
_IMPORT_S = 600.0  # torch from a cold network disk takes minutes; what takes longer hangs
_STOPPED_S = 5.0  # a server that owes an answer for so long and is stopped (SIGSTOP) is replaced
_LINE_BYTES = 1 << 20  # of a message: as much as MLflow takes. A target may write anything into its pipe
_PIPE_BYTES = 1 << 20  # the most a pipe holds: what more comes out of that of a dead trial is not the trial's
# What another moment may put right: no room, no processes, no memory, no descriptors, a file server that is away.
_NOT_NOW = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ENOMEM,
    errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS,
}  # fmt: skip
_LAST_WORDS_S = 1.0  # how long killed processes may take to vanish, or to be passed on to us


def can_fork() -> bool:
    """Whether this system has all a fork server needs (Linux 5.3 or later)."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


@dataclass
class _Process:
    """A trial that has been submitted, as the launcher sees it."""

    job: Job
    pipe: int  # our end: messages come out of it
    life: int  # our end: closing it kills the trial
    oom_kills: int  # the kernel's count when it was launched
    tries: int = 1
    server: ForkServer | None = None  # its parent; None: ourselves
    pid: int | None = None  # None until the server has answered
    pidfd: int | None = None
    dead: bool = False  # its parent has been asked for its status
    unread: bytes = b""
    cause: str = ""
    sampled: Usage | None = None  # what it had used when it was last looked at
    sampled_at: float = 0.0


@dataclass
class LocalLauncher:
    """Runs the jobs of one study. `isolation`: "fork" or "spawn"."""

    study: Path
    target: str
    path: Sequence[str] = ()
    isolation: str = "fork"
    python: Interpreter = OURS
    gpus_per_trial: int = 1
    trials_per_gpu: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)  # variables that all trials get
    program: Callable[[str], str] = str  # what the first word of a command stands for
    missing: str = ""  # what to do when a module is missing

    def __post_init__(self) -> None:
        if self.isolation == "fork" and not can_fork():
            self.isolation = "spawn"
        self._selector = selectors.DefaultSelector()
        self._processes: dict[int, _Process] = {}
        self._news: list[LauncherEvent] = []
        self._shared: Mapping[str, str] = {}  # thread counts: libraries read them when they are imported
        self._groups: set[int] = set()  # of ended trials, whose last members are not reaped yet
        self._server: ForkServer | None = None
        self._memory_checked_at = 0.0
        self._logs_checked_at = 0.0
        self._before = children(os.getpid())
        _reap_descendants(True)

    # -- the seam --------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Start a trial; what it does comes back through `events`."""
        folder = Path(job.folder)
        try:
            (folder / "out").mkdir(parents=True, exist_ok=True)
            (folder / "log.txt").touch()
            (folder / "traceback.txt").unlink(missing_ok=True)  # of an attempt before this one
            if job.command:
                (folder / "params.json").write_text(json.dumps(job.params, indent=1), encoding="utf-8")
        except OSError as error:
            self._refuse(job, f"its folder can't be made: {error}", error.errno)
            return
        self._launch(job, tries=1)

    def events(self, timeout: float) -> list[LauncherEvent]:
        """What happened within `timeout` seconds, oldest first."""
        if self._news:
            timeout = 0.0
        if any(p.pid is not None and p.pidfd is None for p in self._processes.values()):
            timeout = min(timeout, 0.05)  # no pidfds on this system: look by ourselves
        for key, _ in self._selector.select(timeout):
            kind, trial = key.data
            if kind == "server":
                self._hear_server()
            elif (process := self._processes.get(trial)) is None:
                continue
            elif kind == "pipe":
                self._hear(process)
            else:
                self._bury(process)
        for process in [p for p in self._processes.values() if p.pid and p.pidfd is None and not p.dead]:
            if os.waitid(os.P_PID, process.pid or 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self._bury(process)
        if (server := self._server) is not None:
            silent = server.silent_for()  # it may be importing the target anew, which takes its time
            if silent > _IMPORT_S or (silent > _STOPPED_S and is_stopped(server.pid)):
                server.kill()  # its socket closes, and the rest follows
        self._check_memory()
        self._check_logs()
        self._reap_groups()
        news, self._news = self._news, []
        return news

    def samples(self) -> dict[int, dict[str, float]]:
        """What each running trial has used since the last call that saw it, as MLflow's system metrics."""
        used, now = usage_by_group(), time.monotonic()
        found: dict[int, dict[str, float]] = {}
        for trial, process in self._processes.items():
            usage = used.get(process.pid or 0)
            if usage is None:
                continue
            if process.sampled is not None and now > process.sampled_at:
                visible = process.job.environment.get("CUDA_VISIBLE_DEVICES", "")
                gpus = [int(number) for number in visible.split(",") if number.isdecimal()]
                found[trial] = system_metrics(process.sampled, usage, now - process.sampled_at, gpus)
            process.sampled, process.sampled_at = usage, now
        return found

    def stop(self, trial: int, *, now: bool = False) -> None:
        """Ask a trial to stop; it is killed when its grace is over."""
        process = self._processes.get(trial)
        if process is None or process.dead:
            return
        if process.pid is None:
            if now:  # still queued, or just being forked: losing its lifeline ends it
                self._fail(process, "stopped before it started")
            return
        _signal_group(process.pid) if now else os.kill(process.pid, signal.SIGTERM)

    def close(self) -> None:
        """End the server and whatever trials are left."""
        for process in list(self._processes.values()):
            self.stop(process.job.trial, now=True)
        deadline = time.monotonic() + _LAST_WORDS_S
        while self._processes and time.monotonic() < deadline:
            self.events(0.05)
        self._close_server()
        kill_survivors(self.study)  # what left its group to outlive its trial
        while kill_adopted(self._before):  # ... and cleaned its environment; its own children come to us next
            time.sleep(0.01)
        self._reap_groups()
        self._selector.close()
        _reap_descendants(False)

    # -- what a launcher of this kind can tell beforehand ----------------------------------------------------

    def describe(self) -> Target:
        """Import the target in a process of its own and describe it. Raises BadTarget."""
        for tries in range(1, _LAUNCH_TRIES + 1):
            try:
                return self._described()
            except ServerDied as death:
                self._close_server()
                if tries == _LAUNCH_TRIES or death.status != -signal.SIGKILL:  # which comes from outside
                    raise BadTarget(f"importing {self.target!r} ended its process ({death})") from None
        raise AssertionError

    def _described(self) -> Target:
        try:
            described = self._running_server().introduction(_IMPORT_S)
        except TimeoutError:
            self._close_server()
            raise BadTarget(
                f"importing {self.target!r} took longer than {_IMPORT_S:g} s: something in it hangs at import"
            ) from None
        except OSError as error:
            raise BadTarget(f"the process that imports {self.target!r} can't be started: {error}") from None
        if "error" in described:
            remedy = self.missing if described["error"].startswith("ModuleNotFoundError") else ""
            raise BadTarget(f"{self.target!r} can't be imported: {described['error']}{remedy}")
        if self.isolation == "spawn":
            self._close_server()
        return Target(
            tuple(described["names"]),
            tuple(described["required"]),
            described["any"],
            described["yields"],
            described["defaults"],
        )

    def slots(self, parallel: int, gpus: str) -> list[Slot]:
        """Slots on this machine: its GPUs in turn, its CPU cores shared out evenly."""
        raise_descriptor_limit(parallel)
        slots = make_slots(
            parallel, parse_gpus(gpus), gpus_per_trial=self.gpus_per_trial, trials_per_gpu=self.trials_per_gpu
        )
        self._shared = slots[0].environment
        return slots

    # -- starting --------------------------------------------------------------------------------------------

    def _launch(self, job: Job, tries: int) -> None:
        try:
            pipe, pipe_there, life_there, life = _pipes()
        except OSError as error:  # no more descriptors
            self._refuse(job, f"could not start a process: {error}", error.errno)
            return
        os.set_blocking(pipe, False)
        process = _Process(job, pipe, life, oom_kills(), tries)
        self._processes[job.trial] = process
        try:
            if self.isolation == "spawn":
                self._spawn(process, pipe_there, life_there)
            else:
                process.server = self._running_server()
                process.server.launch(self._message(job), pipe_there, life_there)
        except ServerDied:
            self._server_died()  # launches this one again as well
        except (OSError, TypeError, ValueError) as error:  # too long a message, no more descriptors
            number = error.errno if isinstance(error, OSError) else None
            if process.server is not None:
                process.server.asked.pop(f"launch {job.trial}", None)
            self._fail(process, f"could not start a process: {error}", number)
        finally:
            os.close(pipe_there)
            os.close(life_there)

    def _running_server(self) -> ForkServer:
        if self._server is None:
            self._server = ForkServer(
                self.python.path, self.target, self.path, self._environment(), self.study / "engine.log"
            )
            self._selector.register(self._server.socket, selectors.EVENT_READ, ("server", -1))
        return self._server

    def _spawn(self, process: _Process, pipe_there: int, life_there: int) -> None:
        at = steady_time()  # before anything that the trial measures
        with (Path(process.job.folder) / "log.txt").open("ab") as log:
            started = subprocess.Popen(
                [self.python.path, START, "fresh", str(pipe_there), str(life_there)],
                pass_fds=[pipe_there, life_there], stdin=subprocess.PIPE, stdout=log, stderr=log,
                env={**self._environment(), **process.job.environment}, start_new_session=True, umask=UMASK,
            )  # fmt: skip
        assert started.stdin is not None
        try:
            started.stdin.write((json.dumps(self._message(process.job)) + "\n").encode())
            started.stdin.close()
        except BrokenPipeError:
            pass  # dead already; its exit status says more
        started.returncode = 0  # we reap it ourselves; Popen must not warn about it
        self._has_process(process, started.pid, at)

    def _environment(self) -> dict[str, str]:
        return (
            environment_of(self.python, os.environ)
            | dict(self._shared)
            | dict(self.extra)
            | {
                STUDY_VARIABLE: str(self.study.resolve()),
                "PYTHONUNBUFFERED": "1",
                # else a torch.cuda.is_available() at import would wake CUDA in the server
                "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
            }
        )

    def _message(self, job: Job) -> dict[str, Any]:
        command = [self.program(job.command[0]), *job.command[1:]] if job.command else []
        return {
            "trial": job.trial, "target": job.target, "params": dict(job.params), "objective": job.objective,
            "seed": job.seed, "folder": job.folder, "device": job.device, "threads": job.threads,
            "environment": {**job.environment, **_of_its_own(job)}, "path": list(job.path),
            "slot": job.slot, "run_ids": job.run_ids, "ahead": AHEAD,
            "secret": dict(job.secret),
            "command": command, "cwd": job.cwd, "read": dict(job.read),
        }  # fmt: skip

    def _has_process(self, process: _Process, pid: int, at: float) -> None:
        process.pid = pid
        trial = process.job.trial
        if hasattr(os, "pidfd_open"):
            process.pidfd = os.pidfd_open(pid)
            self._selector.register(process.pidfd, selectors.EVENT_READ, ("pidfd", trial))
        self._selector.register(process.pipe, selectors.EVENT_READ, ("pipe", trial))
        self._news.append(Started(trial, at, pid, start_ticks(pid), platform.node()))

    # -- listening -------------------------------------------------------------------------------------------

    def _hear_server(self) -> None:
        assert self._server is not None
        try:
            answer = self._server.receive()
            process = self._processes.get(answer.get("trial", -1))
            if "reaped" in answer:
                for dead in [p for p in self._processes.values() if p.pid == answer["reaped"]]:
                    self._finish(dead, answer["exit_code"])
            elif "target" in answer:  # a server started anew introduces itself
                if "error" in answer:
                    for waiting in [p for p in self._processes.values() if p.pid is None]:
                        self._fail(waiting, f"{self.target!r} can't be imported any more: {answer['error']}")
            elif process is None:  # forgotten meanwhile; losing its lifeline has killed it
                if "pid" in answer:
                    self._server.reap(answer["pid"])
            elif "error" in answer:
                self._fail(process, answer["error"], answer.get("errno"))
            else:
                self._has_process(process, answer["pid"], answer["at"])
        except ServerDied:
            self._server_died()

    def _server_died(self) -> None:
        """Its running trials are ours now and go on; those it was about to start are launched again."""
        self._close_server()
        for process in [p for p in self._processes.values() if p.dead]:
            self._finish(process, _exit_code(process.pid))
        for process in [p for p in self._processes.values() if p.pid is None]:
            if process.tries == _LAUNCH_TRIES:
                self._fail(process, f"the fork server died {_LAUNCH_TRIES} times while starting it")
            else:
                self._forget(process)  # closes the lifeline: if it was forked after all, it dies now
                self._launch(process.job, process.tries + 1)

    def _close_server(self) -> None:
        if self._server is not None:
            self._selector.unregister(self._server.socket)
            self._server.close()
            self._server = None

    def _hear(self, process: _Process) -> bool:
        """Read what a trial has sent; whether there was anything."""
        try:
            data = os.read(process.pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(process.pipe)  # it closed its end; its death will be seen by the pidfd
            return False
        *lines, process.unread = (process.unread + data).split(b"\n")
        if len(process.unread) > _LINE_BYTES:
            process.unread = b"\0"  # no message of ours; what it is the beginning of will be no JSON either
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # the target wrote into a descriptor that is not its own
            if isinstance(message, dict):
                self._news.append(Said(process.job.trial, message))
        return True

    def _bury(self, process: _Process) -> None:
        """The process has ended: end its companions and have its exit status read."""
        assert process.pid is not None
        _signal_group(process.pid)  # before it is reaped: until then its group's number is no stranger's
        if process.pidfd is not None:
            self._selector.unregister(process.pidfd)
        process.dead = True
        if process.server is None or process.server is not self._server:
            self._finish(process, _exit_code(process.pid))
            return
        try:
            process.server.reap(process.pid)
        except ServerDied:
            self._server_died()

    def _finish(self, process: _Process, code: int | None) -> None:
        """Read the last words of a process whose exit status is known, and report its end."""
        self._groups.add(process.pid or 0)
        for _ in range(_PIPE_BYTES // _READ_BYTES + 1):
            if process.pipe not in self._selector.get_map() or not self._hear(process):
                break
        cause = process.cause
        if not cause and code == -signal.SIGKILL and oom_kills() > process.oom_kills:
            cause = "out_of_memory"
        self._forget(process)
        _shorten_log(process.job)
        self._news.append(Exited(process.job.trial, steady_time(), code, cause))

    def _check_memory(self) -> None:
        limited = [
            p for p in self._processes.values() if p.pid is not None and p.job.memory_bytes is not None
        ]
        now = time.monotonic()
        if not limited or now - self._memory_checked_at < _MEMORY_CHECK_S:
            return
        self._memory_checked_at = now
        used = usage_by_group()
        for process in limited:
            if used.get(process.pid or 0, Usage()).resident > (process.job.memory_bytes or 0):
                process.cause = "out_of_memory"
                self.stop(process.job.trial, now=True)

    def _check_logs(self) -> None:
        now = time.monotonic()
        if now - self._logs_checked_at < _LOGS_CHECK_S:
            return
        self._logs_checked_at = now
        for process in self._processes.values():
            _shorten_log(process.job)
        shorten(
            self.study / "engine.log", Limits().log_bytes
        )  # what the import of the target printed is there too

    def _reap_groups(self) -> None:
        for group in list(self._groups):
            try:
                while os.waitpid(-group, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                self._groups.discard(group)

    def _refuse(self, job: Job, message: str, number: int | None = None) -> None:
        """Report a trial that has not even been submitted. `number`: of the system's error."""
        if number in _NOT_NOW:
            self._news.append(NotNow(job.trial, message))
        else:
            self._news.append(Exited(job.trial, steady_time(), None, "launch", message))

    def _fail(self, process: _Process, message: str, number: int | None = None) -> None:
        self._forget(process)
        self._refuse(process.job, message, number)

    def _forget(self, process: _Process) -> None:
        self._processes.pop(process.job.trial, None)
        for fd in (process.pipe, process.pidfd):
            if fd is not None:
                if fd in self._selector.get_map():
                    self._selector.unregister(fd)
                os.close(fd)
        os.close(process.life)


def _reap_descendants(yes: bool) -> None:
    """Whether orphaned descendants become this process's children."""
    if can_fork():
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _pipes() -> tuple[int, int, int, int]:
    """Two pipes, both ends of each. Raises OSError with none of them left open."""
    first = os.pipe()
    try:
        return (*first, *os.pipe())
    except OSError:
        os.close(first[0])
        os.close(first[1])
        raise


def _shorten_log(job: Job) -> None:
    if job.log_bytes is not None:
        shorten(Path(job.folder) / "log.txt", job.log_bytes)


def _of_its_own(job: Job) -> dict[str, str]:
    """Variables that differ from trial to trial. Two trials of several processes each must not meet on a port:
    `torchrun` reads PET_MASTER_PORT, what starts its processes itself MASTER_PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return {
        "TUNER_TRIAL": str(job.trial), "TUNER_SLOT": str(job.slot), "TUNER_OUT": str(Path(job.folder) / "out"),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PET_MASTER_PORT": port,
    }  # fmt: skip


def _exit_code(pid: int | None) -> int | None:
    """Reap a dead child of ours. A server that has just died may not have passed it on yet: wait a moment."""
    deadline = time.monotonic() + _LAST_WORDS_S
    while pid is not None and time.monotonic() < deadline:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            time.sleep(0.005)
    return None


def _signal_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # PermissionError: only zombies are left (macOS)
