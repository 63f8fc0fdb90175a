"""The headless printer on a real terminal (a pty): the bar is drawn in place and never leaves a mess."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from support import print_a_study
from support.patience import PATIENCE_S
from support.studies import START, small_events

from tuner_tui.report.bar import NARROWEST, bar_line
from tuner_tui.report.progress import Printer
from tuner_tui.study.snapshot import Counts, Snapshot, fold_all

DRIVER = Path(print_a_study.__file__)


def on_a_terminal(columns: int, **environment: str) -> str:
    """What print_a_study.py sends to a terminal of that width, as it is on the wire."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM")}
    child = subprocess.Popen(
        [sys.executable, DRIVER, "small"],
        stdout=theirs, stderr=subprocess.DEVNULL, env=env | {"TERM": "xterm-256color"} | environment,
    )  # fmt: skip
    os.close(theirs)
    data = b""
    try:
        while chunk := os.read(ours, 65536):
            data += chunk
    except OSError:  # EIO: the last writer has gone
        pass
    os.close(ours)
    assert child.wait(PATIENCE_S) == 0
    return data.decode()


def screen(text: str) -> list[str]:
    """What stands on the lines of a terminal after `text`: carriage returns and erasures carried out."""
    lines, column = [""], 0
    for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if token == "\r":
            column = 0
        elif token == "\n":
            lines.append("")
            column = 0
        elif token.endswith("K") and token.startswith("\x1b["):
            lines[-1] = lines[-1][:column]
        elif not token.startswith("\x1b["):
            lines[-1] = lines[-1][:column].ljust(column) + token + lines[-1][column + len(token) :]
            column += len(token)
    return lines


def test_the_screen_holds_failures_new_bests_and_one_bar_at_the_end(golden):
    text = on_a_terminal(100)
    lines = screen(text)
    golden("terminal.txt", "\n".join(lines))
    bars = [line for line in lines if "━" in line]
    assert len(bars) == 1 and lines[-2] == bars[0] and lines[-1] == ""
    assert bars[0].startswith("21/30 ") and "● 15 ▲ 3 │ 3 ○ 2" in bars[0] and "best 0.253" in bars[0]
    assert text.count("\r\x1b[K") > 20  # it was drawn again in place, not line under line


@pytest.mark.parametrize("columns", [10, 24, 40, 80, 200])
def test_the_bar_fits_any_width(columns):
    for line in screen(on_a_terminal(columns)):
        if re.match(r"\d+/\d+", line):
            assert len(line) < columns
            assert not 0 < len(re.findall("[━─]", line)) < NARROWEST  # a shorter bar tells nothing


def test_colours_go_when_no_color_says_so_and_the_shapes_stay():
    coloured, plain = on_a_terminal(100), on_a_terminal(100, NO_COLOR="1")
    assert "\x1b[38;5;" in coloured
    assert "\x1b[38" not in plain and set(re.findall(r"\x1b\[[0-9;]*.", plain)) == {"\x1b[K"}
    assert screen(coloured) == screen(plain)


def test_24_bit_colours_where_the_terminal_has_them():
    assert "\x1b[38;2;" in on_a_terminal(100, COLORTERM="truecolor")


def test_a_dumb_terminal_gets_plain_lines():
    text = on_a_terminal(100, TERM="dumb")
    assert "\x1b" not in text and text.count("trial 20 ") == 1 and "[21/30]" in text


def test_at_most_five_bars_a_second_and_news_at_once(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    now = START - 1.0
    printer = Printer(stream, clock=lambda: now, color=False)
    events = small_events()
    printer.update(fold_all(Snapshot(), events[:3]))
    os.read(ours, 65536)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    for _ in range(10):
        now += 0.019
        printer.update(fold_all(Snapshot(), events[:4]))
    with pytest.raises(BlockingIOError):
        os.read(ours, 65536)  # 0.19 s: nothing yet
    now += 0.02
    printer.update(fold_all(Snapshot(), events[:4]))
    assert os.read(ours, 65536).startswith(b"\r\x1b[K0/30")
    now += 0.01
    printer.update(fold_all(Snapshot(), events[:6]))  # the first trial has ended: the best so far
    assert "best so far" in os.read(ours, 65536).decode()
    now -= 3600.0  # the clock is set back
    printer.update(fold_all(Snapshot(), events[:7]))
    assert os.read(ours, 65536)
    stream.close()
    os.close(ours)


def test_a_terminal_that_goes_away_costs_the_sweep_nothing():
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    printer = Printer(stream, clock=lambda: START - 1.0)
    os.close(ours)  # the SSH line is lost
    printer.update(fold_all(Snapshot(), small_events()))
    printer.note("x")
    printer.close()
    stream.close()


def test_the_bar_shows_the_shares_in_the_colours_of_the_ends():
    counts = Counts(planned=40, running=2, finished=20, unfinished=10, no_start=5)
    line = bar_line(counts, best="1 (trial 3)", outlook="ETA 3s", columns=120, color=False)
    assert line == (
        "35/40 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━───── ● 20 ▲ 10 │ 5 ○ 2  best 1 (trial 3)  ETA 3s"
    )
    coloured = bar_line(counts, best="1 (trial 3)", outlook="ETA 3s", columns=120, color=True)
    runs = re.findall(r"\x1b\[[0-9;]*m(━+)\x1b\[0m", coloured)
    assert [len(run) for run in runs] == [20, 10, 5]
