"""The whole grid as text, compared with files a person has looked at.

After a deliberate change: `UPDATE_GOLDEN=1 pytest tests/plot/test_page.py`, and look at the difference.
"""

import os
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from support import studies

from tuner_tui.view.legend import legend, notes
from tuner_tui.view.page import columns_for, page, panel_width_for

GOLDEN = Path(__file__).parent / "golden"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")

PAGES = {
    "seed-120": lambda: page(studies.seed_snapshot(running=2), 120, color=False),
    "seed-80": lambda: page(studies.seed_snapshot(), 80, color=False),
    "small-80": lambda: page(studies.small_snapshot(), 80, color=False),
    **{
        f"{name}-120": lambda make=make: page(make(), 120, color=False, height=9)
        for name, make in studies.ODD.items()
    },
}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_as_it_was_looked_at(name):
    path = GOLDEN / f"{name}.txt"
    text = PAGES[name]()
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1, 10, 33, 34, 79, 80, 120, 200, 400])
def test_no_line_is_wider_than_asked(width):
    for line in page(studies.seed_snapshot(running=2), width, color=False).splitlines():
        assert cell_len(line) <= max(width, 22)  # a sign of the legend stays with its words


def test_colour_changes_nothing_but_colour():
    snapshot = studies.not_finite_snapshot()  # without lines, whose strength is drawn otherwise in each
    colored = page(snapshot, 100)
    assert "\x1b[38;2;" in colored
    plain = page(snapshot, 100, color=False)
    assert [line.rstrip() for line in ESCAPE.sub("", colored).splitlines()] == plain.splitlines()
    assert "\x1b" not in plain


def test_notes_say_infinite_only_of_what_was():
    width = {"width": 20}
    said = studies.Made(width, (3.0, 2.0), studies.Reason.DIVERGED)
    infinite = studies.Made(width, (3.0, float("inf")), studies.Reason.DIVERGED)
    sentences = [
        notes(studies.study_of(studies.SMALL_SPACE, made))
        for made in ([said], [infinite, infinite], [said, said, infinite])
    ]
    assert sentences == [
        ("1 trial diverged: × at the last finite loss",),
        ("2 trials diverged: × at the last finite loss, ∞ at the top edge above it",),
        (
            "3 trials diverged: × at the last finite loss, "
            "∞ at the top edge above the 1 where nan or infinity followed",
        ),
    ]


def test_legend_counts_the_study_and_names_the_best():
    text = "".join(run.text for run in legend(studies.seed_snapshot(running=2)))
    assert text == (
        "● 100 finished  ▲ 10 unfinished  │ 130 never started  ○ 2 running  ★ best 0.42 (trial 6)"
    )


def test_what_the_points_do_not_show_is_said():
    assert notes(studies.seed_snapshot()) == ()
    assert "3 trials diverged" in notes(studies.not_finite_snapshot())[0]
    assert notes(studies.few_negative_snapshot()) == ()  # the axis has a place for them
    assert "1 trial far above the others" in notes(studies.outlier_snapshot())[0]


def test_panels_side_by_side_are_wide_enough():
    for width in range(1, 300):
        columns = columns_for(width)
        assert columns == 1 or panel_width_for(width, columns) >= 34
        assert columns * panel_width_for(width, columns) + 2 * (columns - 1) <= width
    assert (columns_for(80), columns_for(120), columns_for(200)) == (2, 3, 5)
    assert columns_for(200, 4) == 4


def test_headings_are_the_groups_of_the_search_file():
    lines = page(studies.seed_snapshot(), 120, color=False).splitlines()
    headings = [line.split(" ")[0] for line in lines if line.endswith("────") and " ─" in line[:20]]
    assert headings == ["optimizer", "convnet", "merger", "reader"]
