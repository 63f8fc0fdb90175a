"""Every key does what help says, seen through the screen and through what lands on disk."""

from __future__ import annotations

import pytest
from support import studies
from support.room import settle, until
from textual.widgets import Input, Static

from tuner_tui.analysis.effect import effects
from tuner_tui.analysis.order import Order
from tuner_tui.study.events import StudyChanged, StudyClosed, TrialConfirmed
from tuner_tui.study.state import State
from tuner_tui.ui.keys import KEYS, LIST, STUDY
from tuner_tui.ui.screens.choice import ChoiceDialog
from tuner_tui.ui.screens.help import Help
from tuner_tui.ui.screens.log import LogScreen
from tuner_tui.ui.screens.studies import StudiesScreen
from tuner_tui.ui.screens.study import StudyScreen
from tuner_tui.ui.widgets.counts import Counts
from tuner_tui.ui.widgets.finding_pane import FindingPane
from tuner_tui.ui.widgets.grid import ScatterGrid
from tuner_tui.ui.widgets.trial_table import TrialTable

WIDE, NARROW = (140, 44), (80, 24)


@pytest.fixture
def small(room):
    return room.study("small-1", studies.small_events(), alive=True)


def drive(room, folder, size=WIDE):
    return room.app(folder).run_test(size=size)


def texts(screen) -> str:
    return "\n".join(str(static.content) for static in screen.query(Static))


async def test_up_and_down_walk_the_trials_from_every_pane(room, small):
    async with drive(room, small) as pilot:
        for pane in ("grid", "table", "detail"):
            await settle(pilot)
            screen = pilot.app.screen
            assert screen.front == pane and screen.focused.id == pane
            await pilot.press("g", "down", "j", "k")
            assert screen.selected == 1
            await pilot.press("G", "up")
            assert screen.selected == 21
            await pilot.press("tab")
        assert screen.front == "grid"
        await pilot.press("shift+tab")
        assert screen.front == "detail"


async def test_a_narrow_screen_shows_one_pane_at_a_time(room, small):
    async with drive(room, small, NARROW) as pilot:
        for pane in ("grid", "table", "detail"):
            await settle(pilot)
            shown = {w.id for w in pilot.app.screen.query(".pane") if w.size.width and w.is_on_screen}
            assert shown == {pane}
            await pilot.press("tab")


async def test_best_detail_and_overview(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        await pilot.press("b")
        assert screen.selected == screen.snapshot.best.number
        await pilot.press("enter")
        assert screen.front == "detail" and "★ best" in texts(screen)
        await pilot.press("o")
        assert screen.selected is None
        await pilot.pause()
        assert "failures" in texts(screen)


async def test_a_filter_is_typed_and_holds_for_plots_table_and_findings(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        axis = screen.scatters[0].y
        await pilot.press("slash", *"out", "right", *" = no_startt")
        await pilot.pause()
        assert "did you mean no_start?" in texts(screen) and "^" in texts(screen)
        await pilot.press("backspace")
        await until(pilot, lambda: screen.rows == (18, 19, 20))
        await pilot.press("enter")
        await settle(pilot)
        assert screen.focused.id == "grid" and screen.filter.text == "outcome = no_start"
        assert {mark.trial for mark in screen.scatters[0].marks} == {18, 19, 20}
        assert screen.scatters[0].y == axis  # a trial keeps its height
        assert "3 of 23 trials: outcome = no_start" in str(screen.query_one(Counts).render())
        await pilot.press("slash", *" and", "escape")
        await settle(pilot)
        assert screen.filter.text == "outcome = no_start" and screen.focused.id == "grid"
        await pilot.press("f")  # neither failed nor running: all
        await settle(pilot)
        assert screen.filter is None and len(screen.rows) == 23 and len(screen.scatters[0].marks) > 3


async def test_filter_and_sort(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        assert len(screen.rows) == 23
        await pilot.press("f")
        assert screen.filter.text == "failed" and screen.rows == (15, 16, 17, 18, 19, 20)
        await pilot.press("f")
        assert screen.rows == (21, 22)
        await pilot.press("f", "s")
        assert screen.order is Order.VALUE
        assert (
            screen.rows[0]
            == min(
                (t for t in screen.snapshot.trials.values() if t.value is not None), key=lambda t: t.value
            ).number
        )
        await pilot.press("s")
        assert [screen.snapshot.trials[n].reason for n in screen.rows[:2]] == ["diverged", "diverged"]


async def test_the_table_shows_what_was_found(room, small):
    async with drive(room, small, (200, 50)) as pilot:
        await settle(pilot)
        table = pilot.app.screen.query_one(TrialTable)
        await pilot.press("G", "g")
        lines = ["".join(s.text for s in table.render_line(y)) for y in range(3)]
        first = pilot.app.screen.snapshot.trials[0]
        assert "value" in lines[0] and "lr" in lines[0]
        assert f"{first.value:.4g}" in lines[1] and "●" in lines[1]


async def test_the_table_has_the_means_of_confirmed_trials(room):
    events = [
        *studies.small_events(),
        TrialConfirmed(studies.START + 900, 2, "small-1-confirm-1", 3, (0.5, 0.7)),
    ]
    async with drive(room, room.study("small-1", events), (200, 50)) as pilot:
        await settle(pilot)
        table = pilot.app.screen.query_one(TrialTable)
        await pilot.press("g")
        lines = ["".join(s.text for s in table.render_line(y)) for y in range(4)]
        assert "confirmed" in lines[0] and "±" in lines[3] and "(3 runs, 1 failed)" in lines[3]
        assert "±" not in lines[1] + lines[2]


@pytest.mark.parametrize(("key", "asked"), [("e", "stop"), ("s", "stop_now")])
async def test_stopping_asks_first(room, small, key, asked):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("x")
        assert isinstance(pilot.app.screen, ChoiceDialog)
        assert room.requests(small) == []
        await pilot.press(key)
        await pilot.pause()
        assert room.requests(small) == [(asked, None)]
        assert isinstance(pilot.app.screen, StudyScreen)


@pytest.mark.parametrize("keys", [["escape"], ["enter"], ["c"], ["down", "up", "enter"], ["q"]])
async def test_a_stop_that_was_not_meant_stops_nothing(room, small, keys):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("x", *keys)
        await pilot.pause()
        assert isinstance(pilot.app.screen, StudyScreen)
        assert room.requests(small) == []


async def test_an_answer_can_be_clicked(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("x")
        await pilot.pause()
        await pilot.click(pilot.app.screen.query(".option").last())
        await pilot.pause()
        assert room.requests(small) == [("stop_now", None)]


async def test_pause_and_go_on(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("p")
        assert room.requests(small) == [("pause", None)]
        room.happen(small, [StudyChanged(room.now, paused=True)])
        await until(pilot, lambda: "paused" in str(pilot.app.screen.query_one(Counts).render()))
        await pilot.press("p")
        assert room.requests(small)[-1] == ("continue", None)


async def test_killing_a_trial_asks_first(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("g", "K")  # a finished one: nothing to kill
        assert isinstance(pilot.app.screen, StudyScreen)
        await pilot.press("G", "K", "escape")
        assert room.requests(small) == []
        await pilot.press("K", "k")
        await pilot.pause()
        assert room.requests(small) == [("kill_trial", 22)]


async def test_adding_trials(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("+")
        pilot.app.screen.query_one(Input).value = "0"
        await pilot.press("enter")
        assert room.requests(small) == []
        pilot.app.screen.query_one(Input).value = "7"
        await pilot.press("enter")
        await pilot.pause()
        assert room.requests(small) == [("add_trials", 7)]


async def test_nothing_is_asked_of_an_engine_that_is_not_there(room):
    folder = room.study("small-1", studies.small_events())
    async with drive(room, folder) as pilot:
        await settle(pilot)
        for key in ("x", "p", "plus", "G", "K"):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(pilot.app.screen, StudyScreen)
        assert room.requests(folder) == []


async def test_an_interrupted_study_says_so_and_resumes(room):
    folder = room.study("small-1", studies.small_events())
    async with drive(room, folder) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        assert screen.state is State.INTERRUPTED
        assert "the engine was killed; press r to resume" in str(screen.query_one(Counts).render())
        await pilot.press("r", "r")
        await until(pilot, lambda: room.resumed == ["small-1"])
        await until(pilot, lambda: screen.state is State.RUNNING)


async def test_a_resume_that_fails_says_why(room):
    folder = room.study("small-1", studies.small_events())
    room.problem = "search.toml: target: no module models.gone"
    async with drive(room, folder) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await until(pilot, lambda: any(room.problem in note.message for note in pilot.app._notifications))
        room.problem = None
        await pilot.press("r")  # and can be tried again
        await until(pilot, lambda: room.resumed == ["small-1"])


async def test_leaving_says_that_the_sweep_goes_on(room, small, monkeypatch):
    app = room.app(small)
    said = []
    real_exit = app.exit
    monkeypatch.setattr(app, "exit", lambda *a, **k: (said.append(k.get("message")), real_exit(*a, **k))[1])
    async with app.run_test(size=WIDE) as pilot:
        await settle(pilot)
        await pilot.press("q")
    assert said == ["small-1 goes on; `tuner` attaches again"]
    assert small.engine_alive() and room.requests(small) == []


async def test_escape_goes_to_the_list_and_enter_back(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(pilot.app.screen, StudiesScreen)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, StudyScreen)


async def test_the_list_is_newest_first_and_keeps_its_cursor(room):
    old = room.study("old-1", studies.small_events(), age=500)
    room.study("new-1", studies.small_events(), age=5)
    async with drive(room, None) as pilot:
        await pilot.pause()
        screen = pilot.app.screen
        assert [row.name for row in screen.studies] == ["new-1", "old-1"]
        await pilot.press("down")
        room.happen(old, [StudyClosed(room.now, "stopped")], age=0)
        await until(
            pilot, lambda: (screen.studies[0].name, screen.studies[0].state) == ("old-1", State.STOPPED)
        )
        await pilot.press("r")
        await until(pilot, lambda: room.resumed == ["old-1"])


async def test_the_log_turns_its_pages_and_follows(room, small):
    small.trial(22).mkdir(parents=True)
    small.log(22).write_text("first\n")
    small.traceback(22).write_text("ValueError: no\n")
    small.engine_log.write_text("two slots\n")
    async with drive(room, small) as pilot:
        await settle(pilot)
        await pilot.press("G", "l")
        await pilot.pause()
        log = pilot.app.screen
        assert isinstance(log, LogScreen) and "first" in texts(log)
        small.log(22).write_text("first\nsecond \x1b[31mred\n")
        await until(pilot, lambda: "second red" in texts(log))
        await pilot.press("tab")
        assert "ValueError: no" in texts(log)
        await pilot.press("tab")
        assert "two slots" in texts(log)
        await pilot.press("l")
        await pilot.pause()
        assert isinstance(pilot.app.screen, StudyScreen)


@pytest.mark.parametrize("place", [LIST, STUDY])
async def test_help_names_every_key(room, small, place):
    async with drive(room, small if place == STUDY else None) as pilot:
        await settle(pilot)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Help)
        page = texts(pilot.app.screen)
        for key in KEYS:
            assert (key.tooltip in page) == (place in key.places) or any(
                other.tooltip == key.tooltip and place in other.places for other in KEYS
            )
        await pilot.press("escape")


def test_every_key_has_an_action():
    for place, screen in ((LIST, StudiesScreen), (STUDY, StudyScreen)):
        for key in KEYS:
            if place in key.places:
                name = (key.action or key.id).split("(")[0]
                assert hasattr(screen, f"action_{name}"), key


async def test_the_palette_offers_the_same_keys(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
        assert {key.tooltip for key in KEYS if STUDY in key.places} <= titles


async def test_a_learning_rate_is_found_before_a_sweep(room):
    async with room.app().run_test(size=(120, 40)) as pilot:
        await pilot.press("n", *"my.toml", "ctrl+l")
        await until(pilot, lambda: pilot.app.screen.query_one(ScatterGrid))
        await settle(pilot)
        assert room.launched == ["finder of my.toml"]
        pane = pilot.app.screen.query_one(FindingPane)
        shown = "\n".join(pane.render_line(y).text for y in range(pane.size.height))
        assert "┊" in shown and "suggested lr 0.0032" in shown
        for size in [(80, 24), (40, 10), (1, 1), (200, 50)]:
            await pilot.resize_terminal(*size)
            await settle(pilot)


async def test_a_search_without_a_finder_is_told_in_the_dialog(room):
    room.problem = "my.toml: finder: missing"
    async with room.app().run_test(size=(120, 40)) as pilot:
        await pilot.press("n", *"my.toml", "ctrl+l")
        await until(
            pilot, lambda: "finder: missing" in str(pilot.app.screen.query_one("#problem-text").content)
        )


async def test_v_goes_from_the_plots_to_the_other_findings_and_back(room):
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        grid, pane = screen.query_one(ScatterGrid), screen.query_one(FindingPane)
        assert grid.region and not pane.region
        await pilot.press("v")
        await settle(pilot)
        shown = "\n".join(pane.render_line(y).text for y in range(pane.size.height))
        assert "3 trials never started" in shown and pane.region and not grid.region
        await pilot.press("v")
        await settle(pilot)
        assert screen.finding.id == "best-so-far" and pane.region
        await pilot.press("v")
        await settle(pilot)
        shown = " ".join(pane.render_line(y).text.strip() for y in range(pane.size.height))
        assert "9 more trials: 30 % chance to improve by more than 1 %" in shown
        await pilot.press("v")
        await settle(pilot)
        shown = " ".join(pane.render_line(y).text.strip() for y in range(pane.size.height))
        assert "too few to say what explains the loss: 15 finished trials" in shown
        await pilot.press("v")
        await settle(pilot)
        shown = " ".join(pane.render_line(y).text.strip() for y in range(pane.size.height))
        assert "too few finished trials to say whether one is ahead of the pack: it takes 20" in shown
        await pilot.press("v")
        await settle(pilot)
        shown = " ".join(pane.render_line(y).text.strip() for y in range(pane.size.height))
        assert "OPEN  trials that fail: 6 of 21 trials did not finish" in shown
        await pilot.press("v")
        await settle(pilot)
        assert grid.region and not pane.region


async def test_findings_are_tabs_titles_and_palette_commands(room):
    """`v` turns to the next; on a wide screen the pane's title names them, on a narrow one the tabs do."""
    from tuner_tui.ui.widgets.finding_pane import FindingPane
    from tuner_tui.ui.widgets.pane_tabs import PaneTabs

    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        titles = [command.title for command in pilot.app.get_system_commands(screen)]
        assert "Show plots" in titles and "Show crash bias" in titles
        assert "Crash bias" in str(screen.query_one("#grid").border_title)
        next(c for c in pilot.app.get_system_commands(screen) if c.title == "Show crash bias").callback()
        await settle(pilot)
        assert screen.query_one(FindingPane).display and not screen.query_one("#grid").display
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        tabs = screen.query_one(PaneTabs)
        assert str(tabs.render()).split() == [
            "Plots",
            "Crash",
            "bias",
            "Best",
            "so",
            "far",
            "Tuning",
            "curve",
            "›",
            "Trials",
            "Detail",
        ]
        screen.action_look_at("referee")
        await settle(pilot)
        shown = str(tabs.render())
        assert shown.startswith("‹   ") and shown.endswith("Referee   Trials   Detail") and len(shown) <= 80
        await pilot.click(PaneTabs, offset=(1, 0))  # the arrow: to the next one that is hidden there
        await settle(pilot)
        assert screen.finding.id == "best-so-far"
        screen.action_look_at("crash-bias")
        await settle(pilot)
        await pilot.click(PaneTabs, offset=(2, 0))
        await settle(pilot)
        assert screen.query_one("#grid").display and screen.finding.id == "scatterplots"


async def test_one_plot_alone_and_the_next(room):
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        grid = screen.query_one(ScatterGrid)
        names = [scatter.name for scatter in grid.scatters]
        await pilot.press("m")
        await settle(pilot)
        assert [panel.scatter.name for panel in grid.panels] == names[:1]
        assert grid.panels[0].region.height >= grid.content_region.height - 1  # its group's heading stays
        await pilot.press("right", "right", "left")
        await settle(pilot)
        assert [panel.scatter.name for panel in grid.panels] == [names[1]]
        await pilot.press("left", "left")  # round to the last
        assert grid.maximised == names[-1]
        await pilot.press("v", "m")  # from another view it comes back to the plots
        await settle(pilot)
        assert grid.display and grid.maximised is None and len(grid.panels) == len(names)
        await pilot.click(ScatterGrid, offset=(20, 2), times=2)  # on its name
        await settle(pilot)
        assert grid.maximised == names[0]


async def test_the_plots_take_the_whole_width(room):
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        grid, side = pilot.app.screen.query_one(ScatterGrid), pilot.app.screen.query_one("#side")
        before = grid.size.width
        await pilot.press("w")
        await settle(pilot)
        assert grid.size.width > before + 40 and not side.display
        await pilot.press("w")
        await settle(pilot)
        assert grid.size.width == before and side.display


async def test_plots_are_ordered_by_bias_and_by_effect(room):
    folder = room.study("seed-1", studies.seed_events())
    async with drive(room, folder) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        names = [scatter.name for scatter in screen.scatters]
        await pilot.press("a")
        await settle(pilot)
        bias = screen.found["crash-bias"]
        assert screen.scatters[0].name == min(
            names, key=lambda n: min((k.of(n).corrected for k in bias.kinds if k.of(n)), default=1.0)
        )
        await pilot.press("a")
        await settle(pilot)
        found = effects(screen.snapshot)
        shown = [scatter.name for scatter in screen.scatters]
        assert shown == sorted(names, key=lambda name: -found.get(name, 0.0)) and shown != names
        await pilot.press("a")
        await settle(pilot)
        assert [scatter.name for scatter in screen.scatters] == names


async def test_axes_turn_and_the_title_says_how(room, small):
    async with drive(room, small) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        usual, x = screen.scatters[0].y, screen.scatters[0].x
        await pilot.press("y")
        await settle(pilot)
        assert screen.scatters[0].y != usual and "above the lowest" in screen.query_one("#grid").border_title
        await pilot.press("y")
        await settle(pilot)
        assert "by rank" in screen.query_one("#grid").border_title
        await pilot.press("y", "y", "y", "X", "t")
        await settle(pilot)
        assert screen.scatters[0].y == usual and screen.scatters[0].x != x
        title = screen.query_one("#grid").border_title
        assert "x linear" in title and "medians" in title
        await pilot.press("t")
        await settle(pilot)
        assert "the best near each value" in screen.query_one("#grid").border_title
