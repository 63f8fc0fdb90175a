"""The journal on a real disk: killed writers, damaged lines, readers that come and go."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_tui.study import journal as journal_module
from tuner_tui.study.events import Event, TrialEnded, TrialMeasured, TrialStarted, encode
from tuner_tui.study.journal import JournalMoved, JournalNotWritten, JournalReader, JournalWriter
from tuner_tui.study.outcomes import Outcome

EVENTS: list[Event] = [
    TrialStarted(1.0, 0, {"kind": "größer", "lr": 0.1}, seed=5),
    TrialMeasured(2.0, 0, 0, {"loss": float("inf")}),
    TrialEnded(3.0, 0, Outcome.FINISHED, message="two\nlines, ein Umlaut: ä, and \x1b[31m"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def write(path: Path, events: list[Event]) -> None:
    journal = JournalWriter(path)
    journal.append(events)
    journal.close()


def test_what_was_appended_is_read_in_order(path: Path) -> None:
    write(path, EVENTS[:1])
    write(path, EVENTS[1:])
    assert JournalReader(path).read_all() == EVENTS


def test_a_write_torn_at_any_byte_costs_that_line_alone(path: Path) -> None:
    write(path, EVENTS)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        survived = [event for event, end in zip(EVENTS, ends, strict=True) if end <= size]

        reader = JournalReader(path)
        assert reader.read_all() == survived, size
        assert reader.damaged == 0

        # The next engine cuts the torn line off, and the reader that waited behind it goes on.
        write(path, [EVENTS[1]])
        assert reader.read_all() == [EVENTS[1]], size
        assert reader.damaged == 0
        assert JournalReader(path).read_all() == [*survived, EVENTS[1]]


def test_an_unfinished_line_is_read_once_it_is_finished(path: Path) -> None:
    line = (encode(EVENTS[0]) + "\n").encode()
    reader = JournalReader(path)
    assert reader.read() == []  # no file yet
    with path.open("ab", buffering=0) as file:
        for byte in line[:-1]:
            file.write(bytes([byte]))
            assert reader.read() == [] and reader.offset == 0
        file.write(line[-1:])
    assert reader.read() == [EVENTS[0]] and reader.offset == len(line)


@given(st.lists(st.sampled_from(EVENTS), max_size=12), st.integers(1, 400), st.data())
def test_a_reader_taken_up_at_any_offset_it_gave_misses_nothing(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], bite: int, data
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    write(path, events)
    pairs: list[tuple[Event, int]] = []
    reader = JournalReader(path)
    while batch := reader.read_with_offsets(bite):
        pairs += batch
    assert [event for event, _ in pairs] == events
    assert not pairs or pairs[-1][1] == path.stat().st_size
    stop = data.draw(st.integers(0, len(pairs)))
    offset = pairs[stop - 1][1] if stop else 0
    assert JournalReader(path, offset).read_all() == events[stop:]


def test_damaged_lines_are_counted_and_passed_over(path: Path) -> None:
    good = [(encode(event) + "\n").encode() for event in EVENTS]
    newer = b'{"event":"trial_promoted","at":9}\n'  # no damage: a newer version wrote it
    bad = [b"<<<<<<< HEAD\n", b"\xff\xfe\x00\n", b'{"event":"trial_started","at":1}\n', b"[" * 50_000 + b"\n"]
    path.write_bytes(good[0] + bad[0] + bad[1] + good[1] + b"\n" + newer + bad[2] + bad[3] + good[2])
    reader = JournalReader(path)
    assert reader.read_all() == EVENTS
    assert reader.damaged == len(bad)
    assert reader.offset == path.stat().st_size


def test_a_batch_of_nothing_but_damage_does_not_look_like_the_end(path: Path) -> None:
    path.write_bytes(b"damage\n" * 100 + (encode(EVENTS[0]) + "\n").encode())
    reader = JournalReader(path)
    assert reader.read(limit=64) == [EVENTS[0]]
    assert reader.damaged == 100


def test_a_full_disk_leaves_the_journal_as_it_was(path: Path) -> None:
    """A file size limit fails writes half-way exactly as a full disk does."""
    write(path, EVENTS)
    before = path.read_bytes()
    code = f"""
import resource, signal, sys
from pathlib import Path
from tuner_tui.study.events import TrialMeasured
from tuner_tui.study.journal import JournalWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 100}, resource.RLIM_INFINITY))
journal = JournalWriter(Path(sys.argv[1]))
events = [TrialMeasured(float(i), 0, i, {{"loss": 1.0}}) for i in range(50)]
try:
    journal.append(events)
except OSError:
    print("refused")
print(Path(sys.argv[1]).stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(events[:1])  # the same writer goes on once there is room
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", str(len(before))]
    assert path.read_bytes()[: len(before)] == before
    assert len(JournalReader(path).read_all()) == len(EVENTS) + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # of this process


def test_lines_outlive_a_writer_that_is_killed(path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from tuner_tui.study.events import TrialMeasured
from tuner_tui.study.journal import JournalWriter
journal = JournalWriter(Path(sys.argv[1]))
for i in range(200):
    journal.append([TrialMeasured(float(i), 0, i, {"loss": 1.0})])
print("written", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"written\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert len(JournalReader(path).read_all()) == 200


def test_what_the_disk_refuses_at_the_sync_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems that find room for data only later (quotas, NFS) report a full disk at the sync. What was written
    since the last one is then in doubt, not only the last batch."""
    journal = JournalWriter(path)
    monkeypatch.setattr(journal_module, "SYNC_S", 0.0)
    journal.append(EVENTS[:1])

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        patch.setattr(journal_module, "SYNC_S", 1e9)
        journal.append(EVENTS[1:2])
        patch.setattr(journal_module, "SYNC_S", 0.0)
        with pytest.raises(JournalNotWritten, match="No space left"):
            journal.append(EVENTS[2:])
        os.truncate(path, len(encode(EVENTS[0]).encode()) + 3)  # what such a disk may have kept: some of it
    journal.append(EVENTS[2:])
    journal.close()
    assert JournalReader(path).read_all() == EVENTS


def test_a_place_that_can_not_be_looked_at_is_no_place_that_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file server that is away for a moment, a permission that was taken: the study pauses, and goes on after."""
    journal = JournalWriter(path)

    def stale(self: Path) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stale)
        with pytest.raises(JournalNotWritten) as caught:
            journal.append(EVENTS)
    assert not isinstance(caught.value, JournalMoved) and "Stale file handle" in str(caught.value)
    journal.append(EVENTS)
    journal.close()
    assert JournalReader(path).read_all() == EVENTS
