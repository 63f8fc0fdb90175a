"""Crowded panels tell the truth: shares of colour, a crash strip that follows the rate, a V that stays a V."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from dataclasses import replace

import pytest
from support import studies
from support.studies import OBJECTIVE

from tuner_tui.search.space import Choice, Float, Hyperparameter, Space
from tuner_tui.study.outcomes import Reason
from tuner_tui.view.axes import Overlay
from tuner_tui.view.cells import place, prepare, reduce, reduced, row_at
from tuner_tui.view.charts import Scatter, scatters
from tuner_tui.view.draw import CEILINGS, EIGHTHS, canvas, draw_panel, trials_at
from tuner_tui.view.loss import loss_scale
from tuner_tui.view.overlays import isolated, medians
from tuner_tui.view.signs import CROWDS

SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True)),
        Hyperparameter("width", Float(0.0, 1.0)),
        Hyperparameter("kind", Choice(("a", "b", "c"))),
    )
)
SIZES = [(36, 10), (36, 14), (50, 13), (100, 40)]


def crash_rate(width: float) -> float:
    return 0.6 * width**2


def planted(trials: int, unfinished: float = 0.1, seed: int = 0) -> tuple[Scatter, ...]:
    """Loss is a V over log10 lr; the crash rate grows with `width`; a tenth ends early, anywhere."""
    rng = random.Random(seed)
    made = []
    for _ in range(trials):
        params = studies.draw_params(SPACE, rng)
        loss = 0.1 + 0.3 * abs(math.log10(params["lr"]) + 3) + rng.uniform(0, 0.1)
        if rng.random() < crash_rate(params["width"]):
            made.append(studies.Made(params, (), Reason.OUT_OF_MEMORY))
        else:
            early = rng.random() < unfinished
            made.append(studies.Made(params, (loss,), Reason.TIMEOUT if early else None))
    return scatters(studies.study_of(SPACE, made))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("trials", [1000, 3000])
@pytest.mark.parametrize("unfinished", [0.05, 0.3])
def test_the_share_of_orange_cells_is_that_of_the_trials(size, trials, unfinished):
    for scatter in planted(trials, unfinished):
        area = canvas(scatter, *size)
        cells = reduce(scatter, area.columns, area.rows)
        if not cells.crowded:  # 4,000 cells have room for a sign each
            assert size == (100, 40)
            continue
        points = [mark for mark in scatter.marks if mark.y is not None]
        of_trials = sum(mark.kind == "unfinished" for mark in points) / len(points)
        of_cells = sum(c.sign.style in (*CROWDS["unfinished"],) for c in cells.points.values()) / len(
            cells.points
        )
        assert abs(of_cells - of_trials) <= 0.05


def test_one_trial_and_forty_look_different():
    scatter = planted(3000)[1]
    area = canvas(scatter, 36, 12)
    cells = reduce(scatter, area.columns, area.rows)
    counts = {}
    for mark in scatter.marks:
        if mark.y is not None:
            column = int((mark.x - scatter.x.low) / (scatter.x.high - scatter.x.low) * area.columns)
            row = int((mark.y - scatter.y.low) / (scatter.y.high - scatter.y.low) * area.rows)
            counts[column, row] = counts.get((column, row), 0) + 1
    dots = {
        cell: (ord(c.sign.glyph) - 0x2800).bit_count()
        for cell, c in cells.points.items()
        if c.sign.glyph >= "⠀"
    }
    few = [dots[cell] for cell, n in counts.items() if n <= 2 and cell in dots]
    many = [dots[cell] for cell, n in counts.items() if n >= 20 and cell in dots]
    assert max(few) <= 2 and statistics.mean(many) >= 6


def strip(scatter: Scatter, width: int, height: int) -> tuple[float, list[float]]:
    """The scale, and the share that each column of the crash strip shows."""
    area = canvas(scatter, width, height)
    lines = draw_panel(scatter, width, height, color=False)
    line = "".join(run.text for run in lines[-1 if area.below else -2])
    top = float(line[: area.left].strip().rstrip("%")) / 100
    return top, [max(EIGHTHS.find(block), 0) / 8 * top for block in line[area.left :]]


@pytest.mark.parametrize("size", [(19, 6), *SIZES])  # the first: twelve panels of a terminal of 80x24
def test_the_crash_strip_follows_the_rate(size):
    scatter = planted(3000)[1]
    top, shown = strip(scatter, *size)
    low, high = scatter.x.low, scatter.x.high
    true = [crash_rate(low + (high - low) * (i + 0.5) / len(shown)) for i in range(len(shown))]
    inside = [i for i in range(len(shown)) if 0 <= low + (high - low) * (i + 0.5) / len(shown) <= 1]
    assert top in CEILINGS
    assert statistics.correlation([shown[i] for i in inside], [true[i] for i in inside]) >= 0.9


def test_shades_stand_where_trials_die_more_often_and_nowhere_else():
    lr, width, _ = planted(3000)

    def shaded(scatter):
        lines = draw_panel(scatter, 50, 13, color=False)
        rows = ["".join(run.text for run in line) for line in lines]
        return {row.index("░", at) for row in rows for at in range(len(row)) if row.startswith("░", at)}

    assert len(shaded(lr)) <= 1  # one in twenty such panels has one by chance
    right = shaded(width)
    assert len(right) >= 8 and min(right) > 25


def test_without_failures_there_is_no_strip():
    made = [
        studies.Made({"lr": 10 ** -(1 + n % 4), "width": n / 40, "kind": "a"}, (1.0 + n,)) for n in range(40)
    ]
    for height in (6, 12, 20):
        lines = draw_panel(scatters(studies.study_of(SPACE, made))[0], 40, height, color=False)
        assert "%" not in "".join(run.text for line in lines[-2:] for run in line)


@pytest.mark.parametrize(("low", "high"), [(0.2, 1.2), (1e-5, 1.0), (1e3, 1e6)])
@pytest.mark.parametrize("negative", [-0.08, -1e-4])
def test_a_few_negative_losses_leave_the_others_their_height(low, high, negative):
    """The best is below zero, so the axis is a symmetric logarithm: no rows for decades where no trial is."""
    rng = random.Random(3)
    losses = [math.exp(rng.uniform(math.log(low), math.log(high))) for _ in range(97)]
    made = [
        studies.Made(studies.draw_params(SPACE, rng), (loss,))
        for loss in [*losses, negative, negative / 2, negative / 3]
    ]
    scale = loss_scale(studies.study_of(SPACE, made))
    assert scale.scale == "symlog" and not scale.under  # the best has a height that can be read
    heights = [scale.place(loss)[0] for loss in sorted(losses)]
    assert (heights[-10] - heights[9]) / (scale.high - scale.low) > 0.35


@pytest.mark.parametrize("size", SIZES)
def test_a_v_stays_a_v(size):
    """Medians of the dots in each column, read back from the drawing, against those of the trials."""
    scatter = planted(3000, unfinished=0.0)[0]
    area = canvas(scatter, *size)
    cells = reduce(scatter, area.columns, area.rows)
    heights: dict[int, list[float]] = {}
    for (column, row), cell in cells.points.items():
        bits = ord(cell.sign.glyph) - 0x2800
        if bits < 0:
            continue  # the best
        for up, pair in enumerate((0xC0, 0x24, 0x12, 0x09)):  # rows of dots from the bottom
            heights.setdefault(column, []).extend([row + (up + 0.5) / 4] * (bits & pair).bit_count())
    drawn = {column: statistics.median(found) / area.rows for column, found in heights.items() if found}
    true: dict[int, list[float]] = {}
    for mark in scatter.marks:
        if mark.y is not None:
            column = int((mark.x - scatter.x.low) / (scatter.x.high - scatter.x.low) * area.columns)
            true.setdefault(column, []).append((mark.y - scatter.y.low) / (scatter.y.high - scatter.y.low))
    errors = [
        abs(drawn[column] - statistics.median(found)) for column, found in true.items() if column in drawn
    ]
    assert statistics.mean(errors) < 0.03
    assert (
        statistics.correlation(
            [drawn[c] for c in sorted(drawn)], [statistics.median(true[c]) for c in sorted(drawn)]
        )
        > 0.98
    )


def test_without_colour_the_share_has_a_shape():
    scatter = planted(3000)[1]
    text = "".join(run.text for line in draw_panel(scatter, 50, 13, color=False) for run in line)
    assert 0.02 < text.count("▲") / sum("⠀" < c <= "⣿" or c == "▲" for c in text) < 0.2


def test_a_click_in_a_crowd_finds_a_trial_that_is_there():
    scatter = planted(3000)[1]
    area = canvas(scatter, 50, 13)
    cells = reduce(scatter, area.columns, area.rows)
    for (column, row), cell in list(cells.points.items())[::17]:
        found = trials_at(scatter, 50, 13, area.left + column, area.top + area.rows - 1 - row)
        assert cell.trial in found and len(found) == len(set(found))
        low = scatter.y.low + row / area.rows * (scatter.y.high - scatter.y.low)
        high = low + (scatter.y.high - scatter.y.low) / area.rows
        marks = {mark.trial: mark for mark in scatter.marks}
        assert all(low - 1e-9 <= marks[n].y <= high + 1e-9 for n in found)  # all of them lie in the cell
    assert scatter.y.label == OBJECTIVE


def test_on_light_paper_more_is_darker():
    from tuner_tui.view.signs import LIGHT_LINES, LIGHT_SHADES, LINES

    def brightness(style):
        colour = style.split("#")[1]
        return sum(int(colour[i : i + 2], 16) * w for i, w in ((0, 0.299), (2, 0.587), (4, 0.114)))

    dark, light = ([brightness(sign.style) for sign in signs] for signs in (LINES, LIGHT_LINES))
    assert dark == sorted(dark) and light == sorted(light, reverse=True)
    width = planted(3000)[1]
    styles = {run.style for line in draw_panel(width, 50, 13, light=True) for run in line}
    assert styles & {sign.style for sign in LIGHT_SHADES}


def test_medians_over_the_points_follow_a_planted_v():
    scatter = planted(3000)[0]
    area = canvas(scatter, 60, 24)
    found = medians(scatter, area.columns)
    bottom = min(found, key=lambda bin: bin.median)
    middle = (bottom.first + bottom.last) / 2 / area.columns
    planted_at = (-3 - scatter.x.low) / (scatter.x.high - scatter.x.low)
    assert abs(middle - planted_at) < 0.1
    left = [bin.median for bin in found if bin.last < bottom.first]
    right = [bin.median for bin in found if bin.first > bottom.last]
    assert left == sorted(left, reverse=True) and right == sorted(right)
    assert all(bin.lower <= bin.median <= bin.upper for bin in found)
    drawn = "".join(run.text for line in draw_panel(scatter, 60, 24, overlay=Overlay.MEDIANS) for run in line)
    assert drawn.count("━") >= area.columns / 2


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_near_each_value_is_the_best_of_its_bin(direction):
    """Whatever the direction and the y axis: no trial of the study beats it within its bin; crashes stay."""
    rng = random.Random(4)
    made = []
    for n in range(400):
        params = studies.draw_params(studies.SMALL_SPACE, rng)
        made.append(studies.Made(params, () if n % 9 == 0 else (rng.lognormvariate(0, 1),)))
    study = studies.study_of(studies.SMALL_SPACE, made, direction=direction)
    best = min if direction == "minimize" else max
    for scatter in scatters(study):
        shown = isolated(scatter, 60)
        kept = {mark.trial for mark in shown.marks if mark.y is not None}
        assert {m.trial for m in scatter.marks if m.y is None} == {
            m.trial for m in shown.marks if m.y is None
        }
        here = {mark.trial for mark in scatter.marks}  # a conditional hyperparameter is not in all
        assert len(kept) <= 20 and (study.best.number in kept or study.best.number not in here)
        finished = sorted((m for m in scatter.marks if m.kind == "finished"), key=lambda m: m.x)
        taken = sorted((m for m in finished if m.trial in kept), key=lambda m: m.x)
        span = scatter.x.high - scatter.x.low
        count = round(span / scatter.x.step) if scatter.x.step else 20
        for mark in taken:
            bin = int((mark.x - scatter.x.low) / span * count)
            inside = [m.trial for m in finished if int((m.x - scatter.x.low) / span * count) == bin]
            assert study.trials[mark.trial].value == best(study.trials[n].value for n in inside)
        drawn = "".join(
            run.text for line in draw_panel(scatter, 60, 24, overlay=Overlay.BEST) for run in line
        )
        assert drawn.count("●") + drawn.count("★") <= len(kept) + 1


def test_a_fuller_cell_is_brighter():
    scatter = planted(3000)[1]
    area = canvas(scatter, 36, 12)
    cells = reduce(scatter, area.columns, area.rows)
    held = Counter()
    for mark in scatter.marks:
        if mark.y is not None:
            held[place(mark.x, scatter.x, area.columns), row_at(mark.y, scatter.y, area.rows)] += 1
    shades = {style: [] for style in CROWDS["finished"]}
    for cell, (_, sign) in cells.points.items():
        if sign.style in shades:
            shades[sign.style].append(held[cell])
    means = [statistics.mean(counts) for counts in shades.values()]
    assert means == sorted(means) and means[2] > 2 * means[0]


def test_panels_are_reduced_ahead_in_the_size_they_were_drawn_in():
    before, after = planted(200), planted(201)
    drawn = reduced(before[0], 36, 10)
    prepare(after, before)
    assert [list(scatter.reductions) for scatter in after] == [[(36, 10)], [], []]  # only one was on view
    assert after[0].reductions[36, 10] == reduce(after[0], 36, 10) != drawn
    assert replace(after[0], group="other").reductions is after[0].reductions


@pytest.mark.parametrize("first", list(Overlay))
def test_a_panel_is_what_its_overlay_says_whatever_was_drawn_before(first):
    used = planted(200)[0]
    draw_panel(used, 50, 14, overlay=first)
    for overlay in Overlay:
        assert draw_panel(used, 50, 14, overlay=overlay) == draw_panel(
            planted(200)[0], 50, 14, overlay=overlay
        )
