"""How the screens look, at three sizes of terminal: pictures compared with the last ones approved.

`pytest tests/ui/test_snapshots.py --snapshot-update` draws them anew; look at the SVGs before committing.
"""

from __future__ import annotations

import pytest
from PIL import Image
from support import drawings, studies
from support.room import journal_of, settle
from textual.widgets import Input

from tuner_tui.study.events import StudyClosed

SIZES = [(80, 24), (120, 40), (200, 50)]
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


def pressing(*keys: str):
    async def run(pilot) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await settle(pilot)

    return run


@sizes
def test_no_studies_yet(room, snap_compare, size):
    assert snap_compare(room.app(), terminal_size=size, run_before=pressing())


@sizes
def test_studies_in_every_state(room, snap_compare, size):
    room.study("caption-3", studies.seed_events(3), alive=True, age=5)
    room.study("small-1", studies.small_events(), age=300)
    stopped = [*studies.small_events(), StudyClosed(studies.START + 900, "stopped")]
    room.study("small-2", stopped, age=4000)
    room.study("caption-2", studies.seed_events(), age=90_000)
    room.study("caption-1", (), age=200_000)
    assert snap_compare(room.app(), terminal_size=size, run_before=pressing("down"))


@sizes
def test_a_running_study(room, snap_compare, size):
    folder = room.study("small-1", studies.small_events(), alive=True)
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing())


@sizes
def test_the_first_picture(room, snap_compare, size):
    folder = room.study("caption-1", studies.seed_events(3), alive=True)
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing("b"))


@sizes
def test_a_trial_that_crashed(room, snap_compare, size):
    folder = room.study("small-1", studies.small_events(), alive=True)
    folder.trial(17).mkdir(parents=True)
    folder.log(17).write_bytes(b"epoch 0\t\xff\xfe\x00\x1b[31mred\x1b[0m\n" + b"epoch 1 loss 1.7\n" * 3)
    folder.traceback(17).write_text(
        "Traceback (most recent call last):\n  train.py, line 3\nValueError: nan\n"
    )
    keys = ["down"] * 18 + ["enter"]
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing(*keys))


@sizes
def test_a_trial_that_draws(room, snap_compare, colours, size):
    folder = room.study("small-1", studies.small_events(), alive=True)
    drawings.write_preview(folder.out(6) / "preview.png")
    keys = ["b", "enter"] if size[0] < 110 else ["b"]
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing(*keys))


def test_a_plain_picture(room, snap_compare, colours):
    folder = room.study("small-1", studies.small_events(), alive=True)
    folder.out(6).mkdir(parents=True)
    Image.radial_gradient("L").resize((300, 200)).save(folder.out(6) / "preview.png")
    assert snap_compare(room.app(folder), terminal_size=(120, 40), run_before=pressing("b"))


@sizes
def test_a_learning_rate_finder(room, snap_compare, size):
    folder = room.study("small-lr-1", studies.finder_events())
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing())


@sizes
def test_a_finished_study(room, snap_compare, size):
    folder = room.study("caption-1", studies.seed_events())
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing())


@sizes
def test_an_interrupted_study(room, snap_compare, size):
    folder = room.study("small-1", studies.small_events())
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing("tab", "G"))


@pytest.mark.parametrize("name", ["empty", "one", "never-started", "not-finite", "odd-space"])
def test_odd_studies(room, snap_compare, name):
    folder = room.study(name, journal_of(studies.ODD[name]()), alive=name == "empty")
    assert snap_compare(room.app(folder), terminal_size=(120, 40), run_before=pressing("down"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("key", ["question_mark", "x", "l", "plus"])
def test_dialogs(room, snap_compare, size, key):
    folder = room.study("small-1", studies.small_events(), alive=True)
    folder.engine_log.write_text("engine: 2 slots\nengine: trial 3 started\n")
    assert snap_compare(room.app(folder), terminal_size=size, run_before=pressing(key))


@sizes
def test_new_study(room, snap_compare, monkeypatch, size):
    monkeypatch.setattr("tuner_tui.ui.screens.new_study.builtins", lambda: [("caption", "The built-in demo")])
    (room.root.parent / "mine.toml").write_text("# Widths of my own net\n[space]\n")
    room.problem = (
        "mine.toml: space: it is empty; name at least one hyperparameter\nmine.toml: target: it is missing"
    )
    assert snap_compare(room.app(), terminal_size=size, run_before=pressing("n", "enter"))


def test_tiny(room, snap_compare):
    folder = room.study("small-1", studies.small_events(), alive=True)
    assert snap_compare(room.app(folder), terminal_size=(40, 10), run_before=pressing("down"))


def test_light(room, snap_compare):
    folder = room.study("small-1", studies.small_events(), alive=True)
    app = room.app(folder)
    app.theme = "tuner-light"
    assert snap_compare(app, terminal_size=(120, 40), run_before=pressing("b"))


def test_without_colour(room, snap_compare, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    folder = room.study("small-1", studies.small_events(), alive=True)
    assert snap_compare(room.app(folder), terminal_size=(120, 40), run_before=pressing("b"))
