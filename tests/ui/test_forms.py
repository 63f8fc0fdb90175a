"""Starting, changing, narrowing, copying and deleting: the forms of the screen and what they ask for."""

from __future__ import annotations

import json
import shlex
import time
from itertools import pairwise

import pytest
from support import simulated, studies
from support.room import journal_of, settle, until
from textual.widgets import Input, Static

from tuner_tui.analysis.difference import differing
from tuner_tui.analysis.failures import failure_groups
from tuner_tui.analysis.filter import Names, parse
from tuner_tui.search.change import changed
from tuner_tui.search.file import load_search, parse_search
from tuner_tui.search.space import Float
from tuner_tui.study.events import TrialEnded
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.publication import Notebook
from tuner_tui.ui.screens.choice import ChoiceDialog
from tuner_tui.ui.screens.compare import Compare
from tuner_tui.ui.screens.new_study import NewStudy
from tuner_tui.ui.screens.search_form import Line, NewLine, SearchForm
from tuner_tui.ui.screens.studies import StudiesScreen
from tuner_tui.ui.screens.study import StudyScreen
from tuner_tui.view.words import parameter

WIDE = (140, 44)
SEARCH_FILE = """
target = "train:main"
objective = "loss"
trials = 30
[space.optimizer]
lr = { log = [1e-5, 1e-1] }
[space.model]
kind = ["attention", "conv"]
"""


@pytest.fixture
def small(room):
    return room.study("small-1", studies.small_events(), alive=True)


def drive(room, folder):
    return room.app(folder).run_test(size=WIDE)


def texts(screen) -> str:
    return "\n".join(str(static.content) for static in screen.query(Static))


def fields_of(form: SearchForm) -> dict[str, Input]:
    return {line.field.key: line.query_one(Input) for line in form.query(Line)}


async def test_a_new_study_is_looked_at_started_and_followed(room):
    (room.root.parent / "my").mkdir()
    (room.root.parent / "my" / "search.toml").write_text(SEARCH_FILE)
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("n")
        await pilot.pause()
        pilot.app.screen.query_one(Input).value = "my/search.toml"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: room.launched == ["search.toml"])
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))
        assert pilot.app.screen.source.name == "search-1"


async def test_a_search_is_edited_drawn_and_saved_before_it_starts(room):
    (room.root.parent / "tuner.toml").write_text(SEARCH_FILE)
    (room.root.parent / "a.toml").write_text(SEARCH_FILE)
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("n")
        await pilot.pause()
        assert pilot.app.screen.query_one(Input).value == "tuner.toml"  # what `tuner sweep` would take
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        form = pilot.app.screen
        await until(pilot, lambda: "the first trials" in texts(form))
        fields = fields_of(form)
        fields["lr"].value = "{ log = [0, 1] }"
        await until(pilot, lambda: "it must be above 0" in texts(form))
        await pilot.press("enter")
        assert room.launched == []  # nothing starts while something is wrong
        fields["lr"].value = "{ log = [0.001, 0.01] }"
        fields["kind"].value = '"conv"'
        fields["trials"].value = "7"
        assert "or qmc, grid, tpe, gp, cmaes, controller" in texts(form)
        fields["sampler"].value = '"qmc"'
        await until(pilot, lambda: "was { log = [1e-5, 0.1] }" in texts(form))
        await pilot.press("ctrl+s")
        saved = load_search(room.root.parent / "tuner-2.toml")
        assert saved.fixed == {"kind": "conv"} and saved.space["lr"].distribution.high == 0.01
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))
        assert room.started.trials == 7 and room.started.space == saved.space
        assert room.started.fixed == saved.fixed and room.started.sampler == saved.sampler == "qmc"


async def test_hyperparameters_come_and_go_in_the_form(room):
    (room.root.parent / "tuner.toml").write_text(SEARCH_FILE)
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("n", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        form = pilot.app.screen
        await pilot.pause()
        fields_of(form)["kind"].value = ""  # the code's own default
        fields_of(form)["+"].value = "momentum = { float = [0, 2"
        await until(pilot, lambda: "close its brackets" in texts(form))
        form.query(NewLine).first().query_one(Input).value = "momentum = { float = [0, 0.9] }"
        await until(pilot, lambda: len(form.query(NewLine)) == 2)
        form.query(NewLine).last().query_one(Input).value = "a.width = 64"
        await until(pilot, lambda: 'left out; was ["attention", "conv"]' in texts(form))
        await until(pilot, lambda: "momentum" in texts(form).partition("the first trials")[2])
        fields_of(form)["trials"].value = ""
        await until(pilot, lambda: "write a value" in texts(form))
        fields_of(form)["trials"].value = "30"
        await until(pilot, lambda: "write a value" not in texts(form))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))
        assert room.started.space.names == ("lr", "momentum")
        assert room.started.fixed == {"a.width": 64}


async def test_a_search_file_with_mistakes_keeps_the_dialog_open(room):
    file = room.root.parent / "a.toml"
    file.write_text("trials = -3\n[space]\nlr = { log = [1, 2] }\n")
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("n", "enter")
        await until(pilot, lambda: "must be at least 1" in texts(pilot.app.screen))
        dialog = pilot.app.screen
        assert isinstance(dialog, NewStudy) and "target: missing" in texts(dialog)
        file.write_text(SEARCH_FILE)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))


async def test_an_engine_that_does_not_start_keeps_the_form_open(room):
    (room.root.parent / "a.toml").write_text(SEARCH_FILE)
    room.problem = "--gpus 7: GPU 7 is not on this machine"
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("n", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: "GPU 7 is not on this machine" in texts(pilot.app.screen))
        room.problem = None
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))


async def test_a_running_search_is_changed(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        form = pilot.app.screen
        await pilot.pause()
        fields = fields_of(form)
        fields["lr"].value = "{ log = [0.001, 0.01] }"
        fields["parallel"].value = "3"
        fields["trials"].value = str(screen.snapshot.planned - 1)
        await pilot.pause()
        await pilot.press("enter")
        fields["lr"].value = ""
        await until(pilot, lambda: "a running sweep keeps it" in texts(form))
        fields["lr"].value = "{ log = [0.001, 0.01] }"
        await until(pilot, lambda: "a running sweep keeps it" not in texts(form))
        await pilot.press("enter")
        await until(pilot, lambda: "trials are planned" in texts(form))  # fewer: that is what x is for
        fields["trials"].value = str(screen.snapshot.planned + 4)
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await until(pilot, lambda: small.requests.exists())
        asked = [json.loads(line) for line in small.requests.read_text().splitlines()]
        assert [(a["request"], a["number"], a.get("set")) for a in asked] == [
            ("change", None, ["lr={ log = [0.001, 0.01] }"]), ("parallel", 3, None), ("add_trials", 4, None),
        ]  # fmt: skip


async def test_the_selected_trial_runs_again(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("R")
        await pilot.press("g", "R")
        assert room.requests(small) == [("rerun", 0)]
        await pilot.press("space", "down", "space", "R")  # those that are marked, if some are
        assert room.requests(small) == [("rerun", 0), ("rerun", 0), ("rerun", 2)]


async def test_what_the_filter_leaves_becomes_a_narrower_search(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        await pilot.press("z")  # without a filter the trials propose one, but these are too few
        await until(pilot, lambda: any("Too few trials" in n.message for n in pilot.app._notifications))
        assert pilot.app.screen is screen
        text = "lr in 1e-4..1e-2 and activation = relu"
        screen.filter = parse(text, Names.of(screen.snapshot))
        await settle(pilot)
        await pilot.press("z")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        form = pilot.app.screen
        await until(pilot, lambda: "was { log = [1e-5, 0.1] }" in texts(form))
        assert room.launched == []
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert room.started.space["lr"].distribution == Float(1e-4, 1e-2, log=True)
        assert room.started.fixed["activation"] == "relu" and "dropout" in room.started.space.names


async def test_the_next_search_is_proposed_with_its_reasons(room, tmp_path):
    """Failed trials crowd at large widths: that is asked first. A saved file has the reasons as comments."""
    folder = room.study("simulated-1", journal_of(simulated.sweep(2, "failures")))
    async with drive(room, folder) as pilot:
        await settle(pilot)
        await pilot.press("z")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceDialog))
        assert "crowd at some values of width" in texts(pilot.app.screen)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        form = pilot.app.screen
        assert "Another seed" in texts(form) and room.launched == []
        fields_of(form)["width"].focus()
        await until(pilot, lambda: "without this crash region: never started" in texts(form))
        fields_of(form)["momentum"].value = "0.9"  # what a person decides has no reason of ours
        await until(pilot, lambda: form._now is not None and form._now.fixed.get("momentum") == 0.9)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: (tmp_path / "simulated.toml").exists())
        text = (tmp_path / "simulated.toml").read_text()
        assert "# without this crash region" in text and "\n[fixed]\nmomentum = 0.9\n" in text
        found = parse_search(text, str(tmp_path / "simulated.toml"))
        assert found.space["width"].distribution.high < 256 and found.seed == 1


async def test_a_study_is_duplicated_and_deleted_when_one_says_so(room):
    old = room.study("old-1", studies.small_events()[:-4])
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, SearchForm))
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceDialog))
        assert "for good" in texts(pilot.app.screen)
        await pilot.press("enter")  # the harmless answer stands under the cursor
        await pilot.pause()
        assert old.path.exists()
        await pilot.press("D", "d")
        await until(pilot, lambda: not old.path.exists())
        await until(pilot, lambda: pilot.app.screen.studies == ())


async def test_a_running_study_is_not_deleted(room, small):
    async with drive(room, None) as pilot:
        await pilot.pause()
        await pilot.press("D")
        await pilot.pause()
        assert isinstance(pilot.app.screen, StudiesScreen) and small.path.exists()


async def test_the_list_says_what_is_new_since_one_last_looked_and_filters(room, small):
    room.study("other-1", studies.small_events(), age=99)
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("escape")
        await pilot.pause()
        room.happen(small, [TrialEnded(room.now, 21, Outcome.UNFINISHED, Reason.TIMEOUT)])
        said = "since you last looked: 1 trial ended, 1 of them failed"
        await until(pilot, lambda: said in texts(pilot.app.screen))
        await pilot.press("slash", *"oth", "enter")
        await pilot.pause()
        assert [row.name for row in pilot.app.screen.studies] == ["other-1"]
        assert "only those with oth" in texts(pilot.app.screen)
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen.studies) == 2)


async def test_theme_and_layout_are_remembered(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        pilot.app.theme = "tuner-light"
        await pilot.press("w", "t")
        await pilot.pause()
    async with drive(room, small) as pilot:
        await settle(pilot)
        assert pilot.app.theme == "tuner-light" and pilot.app.screen.overlay == "medians"
        assert pilot.app.screen.query_one("#body").has_class("-alone")


async def test_marked_trials_are_compared_side_by_side(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        await pilot.press("g", "space", "space", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, Compare))
        await until(pilot, lambda: "#0" in texts(pilot.app.screen))
        shown = texts(pilot.app.screen)
        first, second = (screen.snapshot.trials[n] for n in (0, 1))
        assert "#1" in shown and "parameters that differ" in shown
        for name in differing(screen.snapshot, (first, second)):
            assert name in shown
        assert "loss/valid by step" in shown and any("⠀" < c <= "⣿" for c in shown)
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.screen is screen and screen.marked == {0, 1}


async def test_the_detail_says_what_the_best_has_and_copies_settings(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        best = screen.snapshot.best
        other = next(n for n in screen.rows if n != best.number)
        screen.selected = other
        await settle(pilot)
        shown = texts(screen)
        assert f"★{best.number} is the best" in shown and f"★ {parameter(best.params['lr'])}" in shown
        copied = []
        pilot.app.copy_to_clipboard = copied.append
        await pilot.press("C")
        arguments = shlex.split(copied[0])
        assert arguments[::2] == ["--set"] * len(screen.snapshot.trials[other].params)
        search = parse_search(SEARCH_FILE, "x.toml")
        assert changed(search, [arguments[1]]).fixed["lr"] == screen.snapshot.trials[other].params["lr"]


async def test_keys_go_through_the_kinds_of_failure(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        kinds = [kind for group in failure_groups(screen.snapshot) for kind in group.kinds]
        assert len(kinds) > 2
        seen = []
        for _ in range(len(kinds) + 1):
            await pilot.press("n")
            seen.append(screen.selected)
        assert seen == [kind.trials[0].number for kind in kinds] + [seen[0]]


def test_failures_with_the_same_words_are_one_kind_numbers_aside():
    said = [f"ValueError: {n} is not 8 (train.py:{n})" for n in range(9)]
    made = [studies.Made({"lr": 0.1}, (), Reason.EXCEPTION, message=words) for words in said]
    made.append(studies.Made({"lr": 0.1}, (), Reason.EXCEPTION, message="KeyError: 'x'"))
    group = failure_groups(studies.study_of(studies.SMALL_SPACE, made))[0]
    assert [len(kind.trials) for kind in group.kinds] == [9, 1]
    assert group.kinds[0].devices == ("cpu",)


async def test_every_measurement_of_the_selected_trial_has_a_curve(room):
    made = [
        studies.Made({"lr": 0.1}, (3.0, 2.0, 1.0), extra={"accuracy": 0.5, "loss/train": 2.0}),
        studies.Made({}, (1.0,)),
    ]
    folder = room.study("many-1", studies.events_of(studies.SMALL_SPACE, made))
    async with drive(room, folder) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        await pilot.press("g")
        await until(pilot, lambda: set(screen.curves) == {"loss/valid", "accuracy", "loss/train"})
        assert [value for _, value in screen.curves["loss/valid"]] == [3.0, 2.0, 1.0]
        await until(pilot, lambda: "loss/train" in texts(screen) and "accuracy" in texts(screen))
        await pilot.press("o")
        assert screen.curves == {}


async def test_the_study_lists_what_runs_where_and_since_when(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        shown = texts(pilot.app.screen)
        assert "running" in shown and "#21  cpu" in shown and "#22  cpu" in shown


async def test_the_study_says_where_mlflow_shows_it(room, small):
    Notebook(uri="http://box:5000/", experiment_id="7").save(small.publisher_state)
    async with drive(room, small) as pilot:
        await settle(pilot)
        assert "http://box:5000/#/experiments/7" in texts(pilot.app.screen)


async def test_a_slow_line_gets_one_picture_a_second(room, small, monkeypatch):
    monkeypatch.setenv("TUNER_SLOW", "1")
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen, pictures = pilot.app.screen, []
        assert pilot.app.slow
        taken = screen._take
        monkeypatch.setattr(
            screen, "_take", lambda snapshot: (pictures.append(time.monotonic()), taken(snapshot))
        )
        await until(pilot, lambda: len(pictures) >= 3)
        assert min(b - a for a, b in pairwise(pictures)) > 0.7
