"""The headless printer where there is no terminal: a CI log, a file, a pipe that somebody closes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import print_a_study
from support.patience import PATIENCE_S
from support.studies import (
    SMALL_SPACE,
    START,
    Made,
    events_of,
    large_snapshot,
    never_started_snapshot,
    small_events,
)

from tuner_tui.report.progress import QUIET_S, Printer
from tuner_tui.study.events import Event, StudyChanged, StudyOpened, TrialEnded, TrialStarted
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, Trial, fold, fold_all

DRIVER = Path(print_a_study.__file__)


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def printed(events: Iterable[Event], *, at_once: bool = False, created_at: float = START - 1.0) -> str:
    """What the printer says to a log while these events happen, one by one or all in one batch."""
    events = list(events)
    stream, clock = io.StringIO(), Clock(created_at)
    printer = Printer(stream, clock=clock)
    snapshot = Snapshot()
    for batch in [events] if at_once else [[event] for event in events]:
        snapshot = fold_all(snapshot, batch)
        clock.now = batch[-1].at
        printer.update(snapshot)
    printer.close()
    return stream.getvalue()


def test_a_pipe_gets_plain_lines_one_for_each_ended_trial(golden):
    run = subprocess.run([sys.executable, DRIVER, "small"], capture_output=True, timeout=PATIENCE_S)
    assert run.returncode == 0, run.stderr.decode()
    text = run.stdout.decode()
    assert all(c == "\n" or c.isprintable() for c in text)
    golden("ci_lines.txt", text)


def test_the_lines_are_the_same_however_the_events_are_batched():
    events = small_events()
    one_by_one, at_once = printed(events), printed(events, at_once=True)
    # Only the opening line could differ, and it does not.
    assert one_by_one == at_once
    assert one_by_one.count("\n") == 1 + sum(isinstance(e, TrialEnded) for e in events)


def test_the_count_never_falls_behind_and_best_is_marked_when_it_improves():
    lines = printed(small_events()).splitlines()[1:]
    assert [line[:7] for line in lines] == [f"[{n:>2}/30]" for n in range(1, len(lines) + 1)]
    values = [float(line.split("● finished")[1].split()[0]) for line in lines if "● finished" in line]
    best = [line.endswith("best so far") for line in lines if "● finished" in line]
    assert best == [value == min(values[: i + 1]) for i, value in enumerate(values)]


def test_larger_is_better_when_the_search_maximises():
    made = [Made({"lr": 0.1}, (value,)) for value in (1.0, 3.0, 2.0)]
    lines = printed(events_of(SMALL_SPACE, made, direction="maximize")).splitlines()[1:]
    assert [line.endswith("best so far") for line in lines] == [True, True, False]


@given(st.text(max_size=400), st.text(max_size=40))
def test_whatever_a_trial_says_it_stays_on_one_line_without_control_characters(message, value):
    made = [Made({"lr": 0.1, "activation": value}, (), Reason.EXCEPTION, message=message or " ")]
    text = printed(events_of(SMALL_SPACE, made))
    assert text.count("\n") == 2
    assert all(c == "\n" or c.isprintable() for c in text)


def test_a_resumed_study_is_summed_up_and_only_news_is_printed():
    events = small_events()
    ends = [i for i, event in enumerate(events) if isinstance(event, TrialEnded)]
    before, after = events[: ends[9] + 1], events[ends[9] + 1 :]
    stream, clock = io.StringIO(), Clock(before[-1].at + 0.5)
    printer = Printer(stream, clock=clock)
    snapshot = fold_all(Snapshot(), before)
    printer.update(snapshot)
    for event in after:
        clock.now = event.at
        snapshot = fold(snapshot, event)
        printer.update(snapshot)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "going on after 10 trials that ended before; best 0.253 (trial 6)"
    assert lines[2].startswith("[11/30] trial 10 ")
    assert len(lines) == 2 + len(ends) - 10


def test_nothing_is_said_before_the_study_is_opened_and_nothing_twice():
    stream = io.StringIO()
    printer = Printer(stream, clock=Clock(START - 1.0))
    printer.update(Snapshot(study="early"))
    assert stream.getvalue() == ""
    snapshot = never_started_snapshot(3)
    for _ in range(3):
        printer.update(snapshot)
    printer.close()
    printer.close()
    printer.update(snapshot)
    assert stream.getvalue().count("trial 0 ") == 1
    assert len(stream.getvalue().splitlines()) == 4


def test_a_plan_that_grows_shows_in_the_next_line():
    events = events_of(SMALL_SPACE, [Made({"lr": 0.1}, (1.0,)), Made({"lr": 0.2}, (2.0,))], closed=False)
    second = next(i for i, e in enumerate(events) if isinstance(e, TrialStarted) and e.trial == 1)
    events.insert(second, StudyChanged(events[second].at, trials=50))
    lines = printed(events).splitlines()
    assert lines[1].startswith("[1/2]") and lines[2].startswith("[ 2/50]")


def test_a_long_silence_is_broken_so_that_no_ci_service_ends_the_job():
    events = events_of(SMALL_SPACE, [Made({"lr": 0.1}, (1.0,)), Made({"lr": 0.2}, (2.0,), running=True)])
    stream, clock = io.StringIO(), Clock(START - 1.0)
    printer = Printer(stream, clock=clock)
    snapshot = fold_all(Snapshot(), events)
    clock.now = events[-1].at
    printer.update(snapshot)
    before = stream.getvalue()
    clock.now += QUIET_S - 1.0
    printer.update(snapshot)
    assert stream.getvalue() == before
    clock.now += 1.0
    printer.update(snapshot)
    printer.update(snapshot)
    said = stream.getvalue()[len(before) :]
    assert said == (
        "… 1 of 2 trials ended: ● 1 finished, ▲ 0 unfinished, │ 0 never started, ○ 1 running; "
        "best 1 (trial 0); ETA –\n"
    )


def test_notes_are_lines_of_their_own():
    stream = io.StringIO()
    Printer(stream).note("no new trials; 2 still running\x1b[2J")
    assert stream.getvalue() == "no new trials; 2 still running\n"


def test_a_reader_that_leaves_costs_the_sweep_nothing():
    """`tuner sweep --headless | head -1`: no traceback, and the exit code stays what the sweep earned."""
    child = subprocess.Popen(
        [sys.executable, DRIVER, "many"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stderr
    assert child.stdout.readline().startswith("study invented")
    child.stdout.close()
    assert child.stderr.read() == "survived\n"
    assert child.wait(PATIENCE_S) == 0


def test_a_stream_closed_on_our_side_is_no_trouble_either():
    stream = io.StringIO()
    printer = Printer(stream)
    stream.close()
    printer.update(never_started_snapshot(2))
    printer.note("x")
    printer.close()


def test_a_full_disk_behind_the_log_is_no_trouble():
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as stream:  # noqa: PTH123
        printer = Printer(stream)
        printer.update(never_started_snapshot(2))
        printer.close()


def test_a_full_pipe_that_does_not_wait_loses_words_not_the_rest():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "w") as stream:
        printer = Printer(stream)
        for _ in range(200):
            printer.note("x" * 1000)  # far more than a pipe holds
        while len(os.read(reader, 1 << 16)) == 1 << 16:
            pass
        printer.note("and on it goes")
        assert os.read(reader, 1 << 20).endswith(b"and on it goes\n")
    os.close(reader)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_log_that_knows_few_characters_gets_others_in_their_place(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    printer = Printer(stream, clock=Clock(START - 1.0))
    made = [Made({"lr": 0.1}, (1.0,)), Made({"lr": 0.1}, (), Reason.EXIT, message="数 …")]
    printer.update(fold_all(Snapshot(), events_of(SMALL_SPACE, made)))
    lines = raw.getvalue().decode(encoding).splitlines()
    assert "o finished" in lines[1] and "| never started" in lines[2] and "exit: ? ~" in lines[2]


class Watched(Mapping[int, Trial]):
    """The trials of a snapshot, counting how many are looked at."""

    def __init__(self, trials: Mapping[int, Trial]) -> None:
        self.trials, self.looked = trials, 0

    def __getitem__(self, number: int) -> Trial:
        self.looked += 1
        return self.trials[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)


def test_an_update_looks_at_what_is_new_only_however_many_trials_there_are():
    snapshot = large_snapshot(5000, panels=4)
    number = 5000
    printer = Printer(io.StringIO(), clock=Clock(START - 1.0))
    printer.update(snapshot)
    events = [
        TrialStarted(START + 1e6, number, {}, seed=0),
        TrialEnded(START + 1e6 + 1, number, Outcome.NO_START, Reason.EXIT, "gone"),
    ]
    for event in events:
        snapshot = fold(snapshot, event)
        watched = Watched(snapshot.trials)
        printer.update(replace(snapshot, trials=watched))
        assert 1 <= watched.looked <= 3


def test_an_interrupted_trial_that_the_next_engine_buries_is_news():
    events = events_of(SMALL_SPACE, [Made({"lr": 0.1}, (1.0,)), Made({"lr": 0.2}, (2.0,), running=True)])
    again = next(e for e in events if isinstance(e, StudyOpened))
    later = START + 5000.0
    events.append(replace(again, at=later, resumed=True))
    events.append(TrialEnded(later + 1, 1, Outcome.UNFINISHED, Reason.INTERRUPTED, "the engine went away"))
    lines = printed(events, at_once=True, created_at=later - 1).splitlines()
    assert lines[1].startswith("going on after 1 trial that ended before")
    assert "▲ unfinished" in lines[2] and "interrupted: the engine went away" in lines[2]
