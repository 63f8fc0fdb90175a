"""Panels of text: exact in size, true in their signs, and clickable where they are drawn."""

import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from support import studies
from support.snapshot_strategies import snapshots

from tuner_tui.view import signs
from tuner_tui.view.charts import Scatter, scatters
from tuner_tui.view.draw import canvas, draw_panel, trials_at
from tuner_tui.view.labels import fit, shorten


def text_of(scatter: Scatter, width: int, height: int, **options) -> list[str]:
    return ["".join(run.text for run in line) for line in draw_panel(scatter, width, height, **options)]


def panel(snapshot, name: str) -> Scatter:
    return next(scatter for scatter in scatters(snapshot) if scatter.name == name)


def styles_at(scatter: Scatter, width: int, height: int, column: int, **options) -> set[tuple[str, str]]:
    """(character, style) of a column of the canvas."""
    found = set()
    area = canvas(scatter, width, height)
    for line in draw_panel(scatter, width, height, **options)[area.top : area.top + area.rows]:
        cells = [(letter, run.style) for run in line for letter in run.text]
        found.add(cells[area.left + column])
    return found


@settings(max_examples=120, deadline=None)
@given(snapshots, st.integers(1, 90), st.integers(1, 30), st.booleans(), st.integers(-1, 5))
def test_any_study_at_any_size_fills_its_panel_exactly(snapshot, width, height, color, selected):
    for scatter in scatters(snapshot)[:4]:
        lines = draw_panel(scatter, width, height, color=color, selected=selected)
        assert len(lines) == height
        for line in lines:
            assert sum(cell_len(run.text) for run in line) == width
            assert color or all(run.style == "" for run in line)


@pytest.mark.parametrize("name", studies.ODD)
@pytest.mark.parametrize("size", [(16, 6), (34, 13), (60, 15), (120, 40)])
def test_odd_studies_have_panels_of_exact_size_with_numbers_at_both_axes(name, size):
    for scatter in scatters(studies.ODD[name]()):
        lines = text_of(scatter, *size)
        assert [cell_len(line) for line in lines] == [size[0]] * size[1]
        area = canvas(scatter, *size)
        assert any(line[: area.left].strip("┤│ ") for line in lines[1:-2])
        assert lines[-1].strip()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.integers(0, 20))
def test_any_name_is_cut_to_its_cells_without_control_characters(name, width):
    shown = fit(name, width)
    assert cell_len(shown) == width
    assert shown.isprintable()


def test_each_outcome_has_a_sign_of_its_own():
    shown = "".join("".join(text_of(scatter, 60, 20)) for scatter in scatters(studies.small_snapshot()))
    for sign in (signs.FINISHED, signs.UNFINISHED, signs.RUNNING, signs.BEST, signs.DIVERGED, signs.INFINITE):
        assert sign.glyph in shown


def test_a_diverged_trial_is_marked_at_the_top_edge():
    lines = text_of(panel(studies.not_finite_snapshot(), "width"), 50, 15)
    assert "∞" in lines[1]
    assert sum(line.count("×") for line in lines) >= 2


def test_one_that_said_it_diverged_has_no_infinity_above_it():
    snapshot = studies.study_of(
        studies.SMALL_SPACE, [studies.Made({"width": 20}, (3.0, 2.0), studies.Reason.DIVERGED)]
    )
    shown = "".join(text_of(panel(snapshot, "width"), 50, 15))
    assert shown.count("×") == 1 and "∞" not in shown and "▲" not in shown


def test_a_trial_that_never_started_is_a_line_over_the_whole_height():
    scatter = panel(studies.never_started_snapshot(1), "width")
    lines = text_of(scatter, 50, 15, color=False)
    rows = lines[1:-3]  # then the axis, its labels and the crash strip
    assert [line.count("│") for line in rows] == [2 if "┤" not in line else 1 for line in rows]


def line_strength(count: int, *, color: bool, others: int = 1) -> int:
    """How strong `count` lines in one column are drawn, as a place in the list of strengths."""
    made = [studies.Made({"width": 40}, (), studies.Reason.EXCEPTION)] * count
    made += [studies.Made({"width": 200}, (), studies.Reason.EXCEPTION)] * others
    scatter = panel(studies.study_of(studies.SMALL_SPACE, made), "width")
    area = canvas(scatter, 60, 12)
    column = int((40 - scatter.x.low) / (scatter.x.high - scatter.x.low) * area.columns)
    levels = signs.LINES if color else signs.PLAIN_LINES
    [(glyph, style)] = styles_at(scatter, 60, 12, column, color=color)
    return [(sign.glyph, sign.style) for sign in levels].index((glyph, style))


@pytest.mark.parametrize("color", [True, False])
def test_more_lines_in_a_column_are_never_drawn_fainter(color):
    strengths = [line_strength(count, color=color, others=20) for count in range(1, 21)]
    assert strengths == sorted(strengths)
    assert strengths[0] == 0 and strengths[-1] == len(signs.LINES if color else signs.PLAIN_LINES) - 1


def test_a_few_lines_are_counted_exactly():
    assert [line_strength(count, color=False) for count in range(1, 4)] == [0, 1, 2]
    assert [line_strength(count, color=True) for count in range(1, 6)] == [0, 1, 2, 3, 4]


@given(st.integers(1, 500), st.integers(1, 500), st.integers(2, 6))
def test_levels_grow_with_the_count_and_stay_inside(a, b, levels):
    low, high = sorted((a, b))
    assert 0 <= signs.line_level(low, high, levels) <= signs.line_level(high, high, levels) < levels


def test_dots_stand_on_lines():
    made = [studies.Made({"width": 40}, (), studies.Reason.EXCEPTION), studies.Made({"width": 40}, (1.0,))]
    scatter = panel(studies.study_of(studies.SMALL_SPACE, made), "width")
    area = canvas(scatter, 60, 12)
    column = int((40 - scatter.x.low) / (scatter.x.high - scatter.x.low) * area.columns)
    assert {glyph for glyph, _ in styles_at(scatter, 60, 12, column)} == {"│", "★"}


def test_the_most_important_of_a_cell_is_drawn():
    unfinished = studies.Made({"lr": 1e-3}, (1.0,), studies.Reason.EXCEPTION)
    made = [studies.Made({"lr": 1e-3}, (1.0,)), studies.Made({"lr": 1e-3}, (1.0,)), unfinished]
    snapshot = studies.study_of(studies.SMALL_SPACE, [studies.Made({"lr": 1e-2}, (0.9,)), *made])
    shown = "".join(text_of(panel(snapshot, "lr"), 60, 15))
    assert shown.count("▲") == 1 and "●" not in shown and shown.count("★") == 1


def test_the_selected_trial_stands_out_in_every_panel():
    snapshot = studies.seed_snapshot()
    finished = next(t.number for t in snapshot.trials.values() if t.outcome == "finished")
    never = next(t.number for t in snapshot.trials.values() if t.outcome == "no_start")
    for scatter in scatters(snapshot):
        has = scatter.name in snapshot.trials[finished].params
        assert "".join(text_of(scatter, 40, 13, selected=finished)).count("◆") == has
        has = scatter.name in snapshot.trials[never].params
        assert (signs.SELECTED_LINE.glyph in "".join(text_of(scatter, 40, 13, selected=never))) == has


def test_a_crowd_at_an_option_stands_side_by_side():
    made = [studies.Made({"activation": "gelu"}, (1.0,)) for _ in range(5)]
    shown = text_of(panel(studies.study_of(studies.SMALL_SPACE, made), "activation"), 60, 13)
    assert any("●●★●●" in line for line in shown)


@settings(max_examples=25, deadline=None)
@given(snapshots, st.integers(16, 50), st.integers(6, 14))
def test_a_click_finds_the_trial_that_is_drawn_there(snapshot, width, height):
    for scatter in scatters(snapshot)[:4]:
        marks = {mark.trial: mark for mark in scatter.marks}
        area = canvas(scatter, width, height)
        lines = text_of(scatter, width, height)
        for row in range(area.top, area.top + area.rows):
            for column in range(area.left, width):
                glyph = lines[row][column]
                if glyph == " ":
                    continue
                found = [marks[n] for n in trials_at(scatter, width, height, column, row)]
                if glyph in "│║┃":
                    assert found and all(mark.y is None for mark in found)
                elif glyph == "∞":
                    assert any(mark.infinite for mark in found)
                else:
                    drawn = [signs.sign_of(m.kind, m.diverged, m.edge, m.best).glyph for m in found]
                    assert glyph in drawn


def test_a_click_far_from_everything_finds_nothing():
    scatter = panel(studies.one_trial_snapshot(), "width")
    assert trials_at(scatter, 60, 15, 6, 2) == ()
    assert trials_at(scatter, 60, 15, -5, 99) == ()
    assert trials_at(scatter, 3, 2, 1, 1) == ()
    lines = text_of(scatter, 60, 15)
    row = next(i for i, line in enumerate(lines) if "★" in line)
    column = lines[row].index("★")
    assert trials_at(scatter, 60, 15, column + 1, row) == (0,)  # next to it is near enough


def test_labels_of_options_keep_what_tells_them_apart():
    kinds = ["straight", "straight_dilated", "straight_residual"]
    assert shorten(kinds, 20) == kinds
    assert shorten(kinds, 11) == ["straight", "…dilated", "…residual"]
    assert shorten(kinds, 6) == ["strai…", "…dila…", "…resi…"]


def test_panels_can_be_drawn_from_several_threads_at_once():
    found = scatters(studies.seed_snapshot())
    expected = [draw_panel(scatter, 50, 14) for scatter in found]
    wrong: list[str] = []

    def draw() -> None:
        for scatter, lines in zip(found, expected, strict=True):
            if draw_panel(scatter, 50, 14) != lines:
                wrong.append(scatter.name)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_panel_can_be_drawn_again_and_again_on_a_log_axis():
    scatter = panel(studies.losses_snapshot([1.0, 2.0, math.inf]), "lr")
    assert draw_panel(scatter, 40, 12) == draw_panel(scatter, 40, 12) == draw_panel(scatter, 40, 12)
