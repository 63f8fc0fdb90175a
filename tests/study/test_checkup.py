"""Damage of a journal is noticed, named with its line and its cost, and can be taken out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import opened
from typer.testing import CliRunner

from tuner_tui.cli import app
from tuner_tui.study import checkup as checkup_module
from tuner_tui.study import folder as folder_module
from tuner_tui.study import journal as journal_module
from tuner_tui.study.checkup import checkup, repair
from tuner_tui.study.events import TrialEnded, TrialMeasured, TrialStarted, decode, encode
from tuner_tui.study.folder import StudyFolder, StudyLock
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.outcomes import Outcome
from tuner_tui.study.snapshot import fold_all

EVENTS = [
    TrialStarted(2.0, 0, {"lr": 0.1}, seed=0), TrialMeasured(3.0, 0, 0, {"loss": 0.5}),
    TrialMeasured(4.0, 0, 1, {"loss": 0.25}), TrialEnded(5.0, 0, Outcome.FINISHED),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    (tmp_path / "mlruns" / "s-1").mkdir(parents=True)
    folder = StudyFolder(tmp_path / "mlruns" / "s-1")
    journal = JournalWriter(folder.journal)
    journal.append([opened(study="s-1", trials=1), *EVENTS])
    journal.close()
    return folder


def change(folder: StudyFolder, line: int, old: bytes, new: bytes) -> None:
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    folder.journal.write_bytes(b"".join(lines))


def test_a_healthy_journal_has_nothing_to_repair(folder):
    found, copy = repair(folder)
    assert found.healthy and copy is None and found.lines == 5 and found.snapshot.trials[0].value == 0.25


def test_a_flipped_digit_is_no_measurement(folder):
    """Valid JSON, and a better loss than any: it must not become the best trial."""
    change(folder, 4, b"0.25", b"0.05")
    (damage,) = checkup(folder).damages
    assert damage.line == 4 and damage.cost == "a measurement of trial 0" and "checksum" in damage.why
    assert folder.snapshot().trials[0].value == 0.5


@given(data=st.data())
def test_any_flipped_bit_of_a_line_is_noticed_or_harmless(data):
    event = data.draw(st.sampled_from(EVENTS))
    line = bytearray(encode(event).encode())
    bit = data.draw(st.integers(0, 8 * len(line) - 1))
    line[bit // 8] ^= 1 << bit % 8
    try:
        found = decode(line.decode())
    except ValueError:
        return
    assert found == event


def test_a_line_without_a_checksum_is_taken_as_it_is(folder):
    record = json.loads(encode(EVENTS[2]))
    del record["crc"]
    record["values"]["loss"] = 0.125
    assert decode(json.dumps(record)) == TrialMeasured(4.0, 0, 1, {"loss": 0.125})


@pytest.mark.parametrize(
    ("line", "cost"),
    [
        (1, "the question"),
        (2, "trial 0: its parameters"),
        (3, "a measurement of trial 0"),
        (5, "how trial 0 ended"),
    ],
)
def test_each_line_is_named_with_its_cost_and_taken_out(folder, line, cost):
    change(folder, line, b'"at":', b'"at";')
    before = folder.journal.read_bytes()
    found, copy = repair(folder)
    assert [d.line for d in found.damages] == [line] and found.damages[0].cost.startswith(cost)
    assert copy is not None and copy.read_bytes() == before
    assert checkup(folder).healthy and len(folder.journal.read_bytes().splitlines()) == 4


def test_nul_bytes_and_a_torn_end(folder):
    with folder.journal.open("ab") as journal:
        journal.write(b"\0" * 64 + b"\n" + b'{"event":"trial_me')
    found = checkup(folder)
    assert "NUL" in found.damages[0].why and found.torn == 18
    assert repair(folder)[1] is not None and checkup(folder).healthy


def test_a_running_study_is_not_repaired(folder):
    lock = StudyLock(folder)
    with pytest.raises(Exception, match="is running this study"):
        repair(folder)
    lock.release()


def test_the_verb_tells_and_repairs(folder):
    change(folder, 3, b"0.5", b"0.6")
    runner, root = CliRunner(), str(folder.path.parent)
    told = runner.invoke(app, ["doctor", "--mlruns", root])
    assert told.exit_code == 1 and "line 3: its checksum is another" in told.stdout
    assert "s-1: 5 lines, 1 damaged; 1 finished" in told.stdout
    assert runner.invoke(app, ["doctor", "s-1", "--repair", "--mlruns", root]).exit_code == 0
    assert "no damage" in runner.invoke(app, ["doctor", "--mlruns", root]).stdout
    assert math.isclose(folder.snapshot().trials[0].value or 0, 0.25)


def test_a_journal_is_folded_in_pieces_and_not_kept_whole_in_memory(folder, monkeypatch):
    """Doctor and resume once took 8 GB for a journal of 1 GB."""
    pieces: list[int] = []

    def counting(snapshot, events):
        pieces.append(len(events))
        return fold_all(snapshot, events)

    for module in (checkup_module, folder_module):
        monkeypatch.setattr(module, "fold_all", counting)
    for module in (checkup_module, journal_module):
        monkeypatch.setattr(module, "FOLD_EVENTS", 100)
    lines = [f"{encode(TrialStarted(9.0, 1, {}, seed=0))}\n"]
    lines += [f"{encode(TrialMeasured(10.0 + step, 1, step, {'loss': 0.5}))}\n" for step in range(25_000)]
    with folder.journal.open("a") as journal:
        journal.writelines(lines)
    bite = (
        journal_module.READ_BYTES // min(map(len, lines)) + 100
    )  # what is read at once may be more than a piece
    for read in (lambda: checkup(folder).snapshot, folder.snapshot):
        pieces.clear()
        assert len(read().trials[1].curve) == 25_000
        assert sum(pieces) == 25_006 and max(pieces) <= bite < 25_000
