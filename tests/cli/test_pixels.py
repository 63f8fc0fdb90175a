"""`tuner plot --pixels` on a terminal that says that it knows sixel, and on one that says nothing."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pytest
from support import studies
from support.patience import PATIENCE_S
from support.sabotage import TUNER

from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter

ASKS, KNOWS_SIXEL = b"\x1b[c", b"\x1b[?62;4;22c"  # DEC's primary device attributes
PICTURE = b"\x1bP"  # begins a sixel picture
TRIES = 20  # the terminal has a tenth of a second to answer, which a busy machine does not always give it


@pytest.fixture
def root(tmp_path):
    folder = StudyFolder(tmp_path / "mlruns" / "small-1")
    folder.path.mkdir(parents=True)
    writer = JournalWriter(folder.journal)
    writer.append(studies.small_events())
    writer.close()
    return tmp_path


def plot(root, answer: bytes) -> tuple[int, bytes]:
    """The exit code and all that a terminal was sent that gives this answer."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 1200, 800))  # cells, then pixels
    process = subprocess.Popen(
        [*TUNER, "plot", "small", "--pixels"], cwd=root, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(slave)
    received, answered, until = b"", False, time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            received += os.read(master, 1 << 16) if select.select([master], [], [], 0.02)[0] else b""
        except OSError:  # it has ended
            break
        if answer and not answered and ASKS in received:
            os.write(master, answer)
            answered = True
    os.close(master)
    return process.wait(PATIENCE_S), received


def test_a_terminal_that_knows_sixel_is_sent_the_picture(root):
    for _ in range(TRIES):
        code, received = plot(root, KNOWS_SIXEL)
        if PICTURE in received:
            break
    assert code == 0 and PICTURE in received and b"--save" not in received


def test_a_terminal_that_does_not_answer_is_named_the_remedy(root):
    code, received = plot(root, b"")
    assert (
        code == 2
        and b"neither sixel nor kitty" in received
        and b"--save FILE" in received.replace(b"\r\n", b" ")
    )


def test_without_a_terminal_pixels_are_refused(root):
    done = subprocess.run(
        [*TUNER, "plot", "small", "--pixels"], cwd=root, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 2 and "--save FILE" in done.stderr and not done.stdout
