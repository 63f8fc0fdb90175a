"""The publisher as a process of its own, so that neither engine nor trials ever wait for MLflow.

    python -m tuner_tui.record.publisher STUDY_FOLDER [--tracking-uri URI] [--follow]

With `--follow` it tails the journal for as long as its standard input is open: the engine holds the other
end, and however the engine dies, the pipe tells. Then it buries what an engine that was killed left running,
carries the rest to MLflow, and exits. Without `--follow` it catches up once.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ..study.bury import bury
from ..study.folder import StudyBusy, StudyFolder, StudyLock
from ..study.journal import NewerFormat
from ..study.private import private_files
from ..study.publication import publisher_lock
from .errors import Away
from .lifeline import Lifeline
from .publish import Publisher
from .uri import shown, tracking_uri

POLL_S = 1.0  # a point on a chart may be this late; a shorter trial costs fewer calls
BACKOFF_S = (0.5, 10.0)  # first and longest pause while MLflow is away
UPLOAD_S = 1.0  # copying files makes live metrics wait no longer than this (and the file in hand)
DRAIN_S = 600.0  # how long we stay for a server that is away, once the engine is gone
PATIENCE_S = 30.0  # how long a person waits for one, in `tuner publish`
BUSY_S = 10.0  # and for another publisher to be done
LOG = "publisher.log"


def publish(
    folder: StudyFolder, uri: str, *, patience: float = PATIENCE_S, say: Callable[[str], None] = print
) -> int:
    """Bring MLflow up to date with the journal; the exit code: 0 done, 1 not (`say` is told why).

    A dead engine's running trials are buried first. Gives up when MLflow is away for `patience` seconds.
    """
    deadline = time.monotonic() + BUSY_S

    def waits() -> bool:
        time.sleep(0.1)
        return time.monotonic() < deadline

    with _only_publisher(folder, waits) as alone:
        if not alone:
            say(f"{folder.name}: a publisher is at work on this study already")
            return 1
        return _catch_up(folder, uri, patience, say)


def _catch_up(folder: StudyFolder, uri: str, patience: float, say: Callable[[str], None]) -> int:
    log = _log_of(folder)
    publisher = Publisher(folder, uri, log)
    dead = _bury_the_dead(folder, log)
    delay, give_up = BACKOFF_S[0], time.monotonic() + patience
    while True:
        busy, error = _advance(publisher, log)
        if not busy and not error and publisher.owes_files:
            error = publisher.upload_error
        if not busy and not error:
            error = _conclude(publisher, dead)
            if not error:
                break
        if busy and not error:
            delay, give_up = BACKOFF_S[0], time.monotonic() + patience
            continue
        if time.monotonic() > give_up:
            say(f"{folder.name}: not everything is in MLflow yet: {error}")
            return 1
        time.sleep(delay)
        delay = min(2 * delay, BACKOFF_S[1])
    refused = publisher.notebook.problem_count
    note = f"; it refused {refused} things, see {folder.path / LOG}" if refused else ""
    say(f"{folder.name}: everything is in MLflow ({shown(uri)}){note}")
    return 0


def follow(folder: StudyFolder, uri: str, lifeline: Lifeline, drain_seconds: float = DRAIN_S) -> int:
    """Tail the journal until the engine is gone and everything is in MLflow; the exit code.

    0: done, told to stop, or another engine (with a publisher of its own) has the study. 1: MLflow stayed
    away for `drain_seconds` after the engine was gone; what is missing, `tuner publish` carries on.
    """
    log = _log_of(folder)
    engine = os.getppid()
    gone_at: float | None = None

    def late() -> bool:
        nonlocal gone_at
        if lifeline.gone and gone_at is None:
            gone_at = time.monotonic()
        return gone_at is not None and time.monotonic() > gone_at + drain_seconds

    def waits() -> bool:  # a publisher of the engine before ours may still be finishing
        lifeline.wait(0.2)
        return not lifeline.stopped and not late()

    with _only_publisher(folder, waits) as alone:
        if not alone:
            return 0 if lifeline.stopped else 1
        log(f"publishing to {shown(uri)}")
        publisher = Publisher(folder, uri, log)
        delay, dead = BACKOFF_S[0], False
        while not lifeline.stopped:
            if lifeline.gone:
                if _another_engine(folder, engine):
                    log("another engine has the study; its publisher goes on")
                    return 0
                # Before MLflow is asked anything: the journal's truth does not depend on a server.
                dead = dead or _bury_the_dead(folder, log)
            busy, error = _advance(publisher, log)
            if dead and not busy and not error and not publisher.owes_files:
                error = _conclude(publisher, dead)
                if not error:
                    log("everything is in MLflow")
                    return 0
            if late():
                log(f"giving up for now: `tuner publish {folder.name}` goes on")
                return 1
            if error:
                lifeline.wait(delay)
                delay = min(2 * delay, BACKOFF_S[1])
            else:
                lifeline.wait(0.0 if busy else POLL_S)
                delay = BACKOFF_S[0]
        log("told to stop")
        return 0


def _advance(publisher: Publisher, log: Callable[[str], None]) -> tuple[bool, str]:
    """One batch of the journal, then some files: whether anything moved, and what is in the way of the journal.

    Files that cannot be copied just now hold up nothing but the end.
    """
    moved, error = False, ""
    try:
        moved = publisher.step()
        moved |= publisher.upload(UPLOAD_S)
        publisher.tell_error(publisher.upload_error)
    except Away as away:
        error = str(away)
        publisher.tell_error(error)
    except OSError as full:  # our own notebook cannot be written
        error = str(full)
        publisher.tell_error(error)
    except Exception as bug:  # one publisher that dies of an event would be followed by the next
        error = f"a mistake of ours: {type(bug).__name__}: {bug}"
        if error != publisher.notebook.error:
            log(traceback.format_exc())
        publisher.tell_error(error)
    return moved, error


def _conclude(publisher: Publisher, dead: bool) -> str:
    """The last words, when all else is written; what is in the way of them ("": nothing)."""
    try:
        if dead:
            publisher.settle()
        publisher.remove_doubles()
        return ""
    except Away as away:
        publisher.tell_error(str(away))
        return str(away)


def _bury_the_dead(folder: StudyFolder, log: Callable[[str], None]) -> bool:
    """Bury what a killed engine left running; False while an engine has the study."""
    if folder.engine_alive():
        return False
    if not folder.snapshot().counts.running:
        return True
    try:
        lock = StudyLock(folder)
    except StudyBusy:
        return False
    try:
        buried = bury(folder, lock)
    except OSError as full:  # the journal is as it was; we come by again
        log(f"the engine was killed, but its trials cannot be buried now: {full}")
        return False
    except NewerFormat as newer:
        log(str(newer))
        return True  # it is for the newer version to end its trials
    finally:
        lock.release()  # at once: MLflow may be away for long, and `tuner resume` need not wait for it
    log(f"the engine was killed; buried {len(buried)} trials that were running")
    return True


def _another_engine(folder: StudyFolder, ours: int) -> bool:
    """Whether an engine other than the one that started us holds the study."""
    if not folder.engine_alive():
        return False
    try:
        return folder.lock_file.read_text().partition("\n")[0].strip() != str(ours)
    except OSError:
        return False


@contextmanager
def _only_publisher(folder: StudyFolder, waits: Callable[[], bool]) -> Iterator[bool]:
    """Hold the study's publisher lock; False when it was not to be had for as long as `waits()` says so."""
    fd = os.open(publisher_lock(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waits():
                    continue
                yield False
                return
            yield True
            return
    finally:
        os.close(fd)


def _log_of(folder: StudyFolder) -> Callable[[str], None]:
    def log(text: str) -> None:
        try:
            with private_files(), (folder.path / LOG).open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
        except OSError:
            pass  # a full disk must not end what may outlast it

    return log


def main(arguments: list[str] | None = None) -> int:
    """The publisher's process: copy, follow the journal if asked, leave when the engine has gone."""
    parser = argparse.ArgumentParser(prog="python -m tuner_tui.record.publisher", description=__doc__)
    parser.add_argument("folder", type=Path)
    # The engine gives it in the environment: a command line, and a password in it, can be read by everyone.
    parser.add_argument("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI"))
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_S)
    given = parser.parse_args(arguments)
    if not given.tracking_uri:
        parser.error("give --tracking-uri, or MLFLOW_TRACKING_URI in the environment")
    folder = StudyFolder(given.folder.resolve())
    if not folder.path.is_dir():
        print(f"{folder.path} is not a study", file=sys.stderr)
        return 2
    uri = tracking_uri(folder.path.parent, given.tracking_uri)
    if given.follow:
        return follow(folder, uri, Lifeline(), given.drain_seconds)
    return publish(folder, uri)


if __name__ == "__main__":
    sys.exit(main())
