"""The pure parts: shelves, order, curve and words, for any input."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import studies
from support.room import NOW

from tuner_tui.analysis.order import Order, arrange, neighbour
from tuner_tui.analysis.pace import Pace, elapsed, remaining
from tuner_tui.sources.journal import JournalSource
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.study.state import State
from tuner_tui.ui.curve import braille_curve
from tuner_tui.ui.shelves import MIN_HEIGHT, arrangement, shelf_heights, shelves
from tuner_tui.ui.tail import StudyTail
from tuner_tui.view.words import ago, duration, number, parameter

groups = st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=20)


@given(groups, st.integers(1, 7))
def test_every_panel_stands_on_a_shelf_once_and_in_order(names, columns):
    placed = [place for shelf in shelves(names, columns) for place in shelf.places]
    assert [place.panel for place in placed] == list(range(len(names)))
    for shelf in shelves(names, columns):
        assert [place.column for place in shelf.places] == list(range(len(shelf.places)))
        assert len(shelf.places) <= columns
        for heading in shelf.headings:
            spanned = shelf.places[heading.column : heading.column + heading.columns]
            assert {names[place.panel] for place in spanned} == {heading.text}


@given(groups.filter(bool), st.integers(1, 300), st.integers(1, 90), st.integers(1, 8))
def test_shelves_fill_the_height_when_they_can(names, width, height, usual):
    columns, arranged = arrangement(names, width, height, usual)
    heights = shelf_heights(arranged, height)
    assert len(heights) == len(arranged) and columns >= 1
    if len(arranged) * (MIN_HEIGHT + 1) <= height:
        assert sum(heights) <= height


def test_thirteen_panels_of_four_groups_fit_a_large_terminal():
    names = [h.group for h in studies.SEED_SPACE]
    columns, arranged = arrangement(names, 126, 45, 3)
    assert (columns, len(arranged)) == (4, 4)
    assert [len(shelf.headings) for shelf in arranged] == [1, 1, 1, 1]
    assert sum(shelf_heights(arranged, 45)) == 45


@pytest.mark.parametrize("order", Order)
def test_every_order_holds_the_same_trials(order):
    snapshot = studies.seed_snapshot(running=3)
    rows = arrange(snapshot, order)
    assert sorted(rows) == list(arrange(snapshot))
    if order is Order.VALUE:
        assert snapshot.trials[rows[0]].value == 0.42
        assert snapshot.trials[rows[-1]].value is None


@given(
    st.lists(st.integers(0, 50), unique=True), st.one_of(st.none(), st.integers(0, 50)), st.integers(-5, 5)
)
def test_a_neighbour_is_a_row(rows, selected, by):
    found = neighbour(tuple(rows), selected, by)
    assert (found in rows) if rows else found is None


any_loss = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(any_loss, max_size=60), st.integers(0, 50), st.integers(0, 8))
@example([1.7e308, -1.7e308], 1, 1)  # their difference is no float
def test_a_curve_keeps_to_its_box(losses, width, height):
    lines = braille_curve(list(enumerate(losses)), width, height)
    assert len(lines) in (0, height)
    assert all(len(line) <= width for line in lines)
    if width and height and any(math.isfinite(loss) for loss in losses):
        assert any(line.strip("\u2800") for line in lines)


def test_a_falling_curve_falls():
    lines = braille_curve([(0, 8.0), (1, 4.0), (2, 2.0), (3, 1.0)], 8, 4)
    assert lines[0][0] != "\u2800" and len(lines[0]) < len(lines[-1]) == 8


@given(st.one_of(st.none(), st.floats(-1e307, 1e307), st.sampled_from([math.inf, -math.inf, math.nan])))
def test_a_number_is_short_and_true(value):
    text = number(value)
    assert len(text) <= 11
    if value is not None and math.isfinite(value):
        assert math.isclose(float(text), value, rel_tol=1e-3, abs_tol=1e-320)


def test_times_and_values_as_a_person_reads_them():
    assert [duration(s) for s in (0.04, 59.9, 192, 7500, 273_600)] == [
        "0.0s", "1m00s", "3m12s", "2h05m", "3d04h",
    ]  # fmt: skip
    assert [ago(NOW - s, NOW) for s in (5, 200, 7300, 200_000)] == ["now", "3 min ago", "2 h ago", "2 d ago"]
    assert [parameter(v) for v in (None, True, 1e-5, 12, [1, 2.5], "a\x1b[31m\n")] == [
        "", "true", "1e-5", "12", "[1, 2.5]", "a",
    ]  # fmt: skip


def test_the_estimate_shares_the_work_among_the_lanes():
    snapshot = studies.small_snapshot()
    left = remaining(snapshot, NOW)
    pace = Pace()
    for trial in snapshot.trials.values():
        pace.add(trial)
    typical = pace.typical()
    assert typical is not None
    lanes = snapshot.search.parallel
    assert left == pytest.approx(7 * typical / lanes)  # seven wait; those that run are overdue
    assert remaining(Snapshot(), NOW) is None
    assert elapsed(snapshot, State.RUNNING, NOW) == NOW - studies.START
    assert elapsed(snapshot, State.INTERRUPTED, NOW) < 3600
    assert elapsed(Snapshot(), State.EMPTY, NOW) is None


def test_a_tail_reads_in_bites_and_ends_at_the_same_snapshot(tmp_path):
    folder = StudyFolder(tmp_path / "s-1")
    folder.path.mkdir()
    writer = JournalWriter(folder.journal)
    writer.append(studies.seed_events())
    tail = StudyTail(JournalSource(folder))
    slices = 0
    while tail.advance(0.0) or not tail.caught_up:
        slices += 1
    assert slices > 2 and tail.share_read == 1.0
    assert tail.snapshot == folder.snapshot()
    assert tail.advance() is False
    folder.journal.unlink()
    folder.path.rmdir()
    assert tail.advance() is False and tail.gone and tail.snapshot.trials


def test_a_new_study_under_an_old_name_is_read_afresh(tmp_path):
    folder = StudyFolder(tmp_path / "s-1")
    folder.path.mkdir()
    JournalWriter(folder.journal).append(studies.seed_events())
    tail = StudyTail(JournalSource(folder))
    while not tail.caught_up or tail.advance():
        tail.advance()
    folder.journal.write_bytes(b"")
    JournalWriter(folder.journal).append(studies.small_events())
    tail.advance(1.0)
    assert tail.snapshot == folder.snapshot()
