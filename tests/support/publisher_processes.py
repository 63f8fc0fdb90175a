"""Publishers in real processes that have MLflow imported already, so that a test can kill many of them.

Importing MLflow takes four seconds; a fork server that has done it hands out processes in milliseconds. They
run the same code as `python -m tuner_tui.record.publisher`, which the tests start a few times as well.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from support.patience import PATIENCE_S
from tuner_tui.study.folder import StudyFolder

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "support.publisher_processes"]
)


def start_publish(folder: StudyFolder, uri: str, patience: float = PATIENCE_S) -> BaseProcess:
    """`publish` in a process; its exit code is the process's."""
    process = _context.Process(target=_publish, args=(str(folder.path), uri, patience))
    process.start()
    return process


def _publish(path: str, uri: str, patience: float) -> None:
    from tuner_tui.record.publisher import publish

    sys.exit(publish(StudyFolder(Path(path)), uri, patience=patience, say=lambda text: None))


def start_publish_on_a_full_disk(folder: StudyFolder, uri: str, limit: int) -> BaseProcess:
    """`publish` where no file can grow beyond `limit` bytes, and again where it can; exit code 1 then 0: 10."""
    process = _context.Process(target=_publish_twice, args=(str(folder.path), uri, limit))
    process.start()
    return process


def _publish_twice(path: str, uri: str, limit: int) -> None:
    import resource

    from tuner_tui.record.publisher import publish

    folder = StudyFolder(Path(path))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    first = publish(folder, uri, patience=0.0, say=lambda text: None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    sys.exit(10 * first + publish(folder, uri, patience=0.0, say=lambda text: None))


class Follower:
    """`follow` in a process with a pipe for a lifeline, like the engine starts it."""

    def __init__(self, folder: StudyFolder, uri: str, drain_seconds: float = PATIENCE_S) -> None:
        inside, self._outside = os.pipe()
        receiver = _context.Process(target=_follow, args=(str(folder.path), uri, drain_seconds, _Fd(inside)))
        receiver.start()
        os.close(inside)
        self.process = receiver

    def let_go(self) -> None:
        os.close(self._outside)

    def wait(self) -> int | None:
        self.process.join(PATIENCE_S)
        return self.process.exitcode


class _Fd:
    """A file descriptor that travels to the new process."""

    def __init__(self, fd: int) -> None:
        from multiprocessing.reduction import DupFd

        self._dup = DupFd
        self.fd = fd

    def __reduce__(self):
        from multiprocessing.reduction import DupFd

        return _detach, (DupFd(self.fd),)


def _detach(dup) -> int:
    return dup.detach()


def _follow(path: str, uri: str, drain_seconds: float, fd: int) -> None:
    from tuner_tui.record.lifeline import Lifeline
    from tuner_tui.record.publisher import follow

    sys.exit(follow(StudyFolder(Path(path)), uri, Lifeline(fd), drain_seconds))


def start_command(folder: StudyFolder, uri: str, *more: str) -> subprocess.Popen[bytes]:
    """The publisher as the engine starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner_tui.record.publisher", str(folder.path), "--tracking-uri", uri, *more],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
