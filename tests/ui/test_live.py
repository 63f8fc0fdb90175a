"""The screen while things happen under it: a journal that grows, windows that change, mice, folders that vanish."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from urllib.parse import unquote

import pytest
from support import studies
from support.patience import PATIENCE_S
from support.room import journal_of, settle, until
from textual.screen import Screen
from textual.widget import Widget

from tuner_tui.search.space import Choice, Float, Hyperparameter, Space
from tuner_tui.study.events import Event, StudyChanged, StudyClosed, TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.ui.app import NoTerminal, run_tui
from tuner_tui.ui.screens.studies import StudiesScreen
from tuner_tui.ui.screens.study import StudyScreen
from tuner_tui.ui.widgets.counts import Counts
from tuner_tui.ui.widgets.grid import ScatterGrid
from tuner_tui.ui.widgets.key_line import KeyLine
from tuner_tui.ui.widgets.study_list import StudyList
from tuner_tui.ui.widgets.trial_table import TrialTable
from tuner_tui.view.cells import place, row_at
from tuner_tui.view.draw import canvas

WIDE = (140, 44)


def head(app) -> str:
    return str(app.screen.query_one(Counts).render())


async def test_a_trial_appears_measures_and_crashes(room):
    folder = room.study("small-1", studies.small_events(), alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        params = dict(screen.snapshot.trials[0].params)
        assert "○ 2 running" in head(pilot.app)
        room.happen(folder, [TrialStarted(room.now, 23, params, 23)])
        await until(pilot, lambda: "○ 3 running" in head(pilot.app))
        room.happen(folder, [TrialMeasured(room.now + 1, 23, 0, {studies.OBJECTIVE: 0.01})])
        room.happen(
            folder, [TrialEnded(room.now + 2, 23, Outcome.UNFINISHED, Reason.SIGNAL, "killed by SIGSEGV")]
        )
        await until(pilot, lambda: "▲ 4 unfinished" in head(pilot.app) and "○ 2 running" in head(pilot.app))
        await pilot.press("G")
        await settle(pilot)
        assert screen.selected == 23
        detail = str(screen.query_one("#detail-text").content)
        assert "signal: killed by SIGSEGV" in detail and "0.01" in detail


async def test_trials_go_on_while_another_pane_hides_the_plots(room):
    """At 80x24 there is room for one pane; what was hidden is up to date when it comes back."""
    folder = room.study("small-1", studies.small_events(), alive=True)
    async with room.app(folder).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        params = dict(screen.snapshot.trials[0].params)
        before = len(screen.scatters[0].marks)
        await pilot.press("enter")
        await settle(pilot)
        grid = screen.query_one(ScatterGrid)
        assert grid.size.width == 0
        for number in (23, 24):
            room.happen(folder, [TrialStarted(room.now, number, params, number)])
            room.happen(folder, [TrialMeasured(room.now + 1, number, 0, {studies.OBJECTIVE: 0.4})])
            await until(pilot, lambda number=number: number in screen.snapshot.trials)
            await settle(pilot)
        while grid.size.width == 0:
            await pilot.press("tab")
            await settle(pilot)
        assert len(screen.scatters[0].marks) == before + 2
        assert [panel.scatter for panel in grid.panels] == list(screen.scatters)


async def test_the_engine_dies_under_the_screen(room):
    folder = room.study("small-1", studies.small_events(), alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        assert "◆ running" in head(pilot.app) and "resume" not in str(
            pilot.app.screen.query_one(KeyLine).render()
        )
        room.engine_dies(folder)
        await until(pilot, lambda: "interrupted: the engine was killed; press r to resume" in head(pilot.app))
        assert "○ 2 lost" in head(pilot.app)
        assert "resume" in str(pilot.app.screen.query_one(KeyLine).render())


async def test_stopping_is_seen_in_the_journal(room):
    folder = room.study("small-1", studies.small_events(), alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        room.happen(folder, [StudyChanged(room.now, stopping=True)])
        await until(pilot, lambda: "◆ stopping: no new trials; running ones end first" in head(pilot.app))


async def test_a_click_on_a_point_selects_its_trial_everywhere(room):
    folder = room.study("small-1", studies.small_events(), alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        grid = screen.query_one(ScatterGrid)
        panel = grid.panels[1]
        row, column = next(
            (y, sum(s.cell_length for s in strip) - len(strip.text) + strip.text.index("●"))
            for y, strip in enumerate(panel.strips)
            if "●" in strip.text
        )
        origin = grid.content_region.offset - grid.region.offset
        await pilot.click(grid, offset=(origin.x + panel.region.x + column, origin.y + panel.region.y + row))
        await settle(pilot)
        assert screen.selected is not None
        table = screen.query_one(TrialTable)
        assert screen.rows[table.cursor] == screen.selected
        assert f"#{screen.selected} " in str(screen.query_one("#detail-text").content)
        for panel in grid.panels:
            if screen.snapshot.trials[screen.selected].params.get(panel.scatter.name) is not None:
                assert "◆" in "".join(strip.text for strip in panel.strips), panel.scatter.name


def crowded() -> list[Event]:
    """Three hundred trials over `lr`, of which ten share a place."""
    space = Space(
        (Hyperparameter("lr", Float(1e-5, 1e-1, log=True)), Hyperparameter("kind", Choice(("a", "b"))))
    )
    made = [
        studies.Made({"lr": 10 ** -(1 + i % 40 / 10), "kind": "ab"[i % 2]}, (1.0 + i % 7 / 10 + i / 1000,))
        for i in range(290)
    ]
    made += [studies.Made({"lr": 1e-3, "kind": "a"}, (9.0 - i / 1000,)) for i in range(10)]
    return studies.events_of(space, made, name="crowded")


def offset_of(grid: ScatterGrid, panel: int, mark: int) -> tuple[int, int]:
    """Where a trial is drawn, as a mouse reports it."""
    found = grid.panels[panel]
    area = canvas(found.scatter, *found.region.size)
    at = next(m for m in found.scatter.marks if m.trial == mark)
    column = area.left + place(at.x, found.scatter.x, area.columns)
    row = area.top + area.rows - 1 - row_at(at.y, found.scatter.y, area.rows)
    origin = grid.content_region.offset - grid.region.offset
    return origin.x + found.region.x + column, origin.y + found.region.y + row


async def test_clicks_in_a_crowded_cell_go_through_its_trials_best_first(room):
    async with room.app(room.study("crowded-1", crowded())).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen, grid = pilot.app.screen, pilot.app.screen.query_one(ScatterGrid)
        seen = []
        for _ in range(4):
            await pilot.click(grid, offset=offset_of(grid, 0, 295))
            await settle(pilot)
            seen.append(screen.selected)
        assert seen == [299, 298, 297, 296]


async def test_a_click_after_a_rest_takes_the_trial_that_the_rest_marked(room):
    async with room.app(room.study("crowded-1", crowded())).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen, grid = pilot.app.screen, pilot.app.screen.query_one(ScatterGrid)
        await pilot.hover(grid, offset=offset_of(grid, 0, 295))
        await until(pilot, lambda: screen.selected == 299)
        for best in (299, 298):
            await pilot.click(grid, offset=offset_of(grid, 0, 295))
            await settle(pilot)
            assert screen.selected == best


async def test_a_mouse_that_rests_marks_a_trial_until_one_is_chosen(room):
    async with room.app(room.study("crowded-1", crowded())).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen, grid = pilot.app.screen, pilot.app.screen.query_one(ScatterGrid)
        await pilot.hover(grid, offset=offset_of(grid, 0, 295))
        await until(pilot, lambda: screen.selected == 299)
        await pilot.press("g")  # chosen by a key: a resting mouse changes it no more
        await pilot.hover(grid, offset=offset_of(grid, 0, 20))
        await pilot.pause(0.4)
        assert screen.selected == 0


async def test_a_range_that_is_brushed_filters_everything(room):
    async with room.app(room.study("crowded-1", crowded())).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen, grid = pilot.app.screen, pilot.app.screen.query_one(ScatterGrid)
        left, right = offset_of(grid, 0, 20), offset_of(grid, 0, 10)  # 1e-3 and 1e-2
        await pilot.mouse_down(grid, offset=left)
        await pilot.hover(grid, offset=right)
        await pilot.mouse_up(grid, offset=right)
        await until(pilot, lambda: screen.filter is not None)
        await settle(pilot)
        shown = [screen.snapshot.trials[n].params["lr"] for n in screen.rows]
        assert 0.7e-3 < min(shown) < 1.3e-3 and 0.7e-2 < max(shown) < 1.3e-2
        assert {mark.trial for mark in screen.scatters[1].marks} == set(screen.rows)
        assert screen.filter.bounds["lr"].low == pytest.approx(1e-3, rel=0.3)


async def test_a_bell_rings_when_failures_pile_up_and_at_the_end(room):
    folder = room.study("small-1", studies.small_events()[:-1], alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        rung, screen = [], pilot.app.screen
        pilot.app.bell = lambda: rung.append(1)
        at = room.now
        room.happen(folder, [
            TrialStarted(at, 99, {"lr": 0.1}, 1),
            TrialMeasured(at + 0.1, 99, 0, {"loss/valid": 1.0}),
            TrialEnded(at + 0.2, 99, Outcome.FINISHED),
        ])  # fmt: skip
        await until(
            pilot,
            lambda: 99 in screen.snapshot.trials and screen.snapshot.trials[99].outcome is Outcome.FINISHED,
        )
        await pilot.pause(0.6)
        assert not rung
        for number in range(100, 106):
            room.happen(folder, [
                TrialStarted(at + number, number, {"lr": 0.1}, 1),
                TrialEnded(at + number + 0.5, number, Outcome.NO_START, Reason.EXCEPTION, "ValueError: no"),
            ])  # fmt: skip
        await until(pilot, lambda: len(rung) == 1)
        room.happen(folder, [StudyClosed(at + 300, "stopped")])
        room.engine_dies(folder)
        await until(pilot, lambda: len(rung) == 2)


async def test_a_click_on_a_row_selects_it_and_another_opens_it(room):
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        await pilot.click(TrialTable, offset=(6, 5))  # border, header, rows 0, 1, 2, 3
        await pilot.pause()
        assert screen.selected == 3
        await pilot.click(TrialTable, offset=(6, 5))
        await pilot.pause()
        assert screen.front == "detail"


async def test_a_click_on_a_key_of_the_footer_is_the_key(room):
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        line = str(pilot.app.screen.query_one(KeyLine).render())
        await pilot.click(KeyLine, offset=(1 + line.index("b best"), 0))
        await pilot.pause()
        assert pilot.app.screen.selected == pilot.app.screen.snapshot.best.number


async def test_a_click_on_a_study_opens_it(room):
    room.study("small-1", studies.small_events())
    async with room.app().run_test(size=WIDE) as pilot:
        await pilot.pause()
        await pilot.click(StudyList, offset=(6, 1))
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))


async def test_every_size_of_window(room):
    folder = room.study("caption-1", studies.seed_events(2), alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await pilot.press("b")
        for size in [
            (80, 24),
            (40, 10),
            (1, 1),
            (20, 5),
            (250, 70),
            (109, 15),
            (110, 16),
            (300, 12),
            (80, 24),
        ]:
            await pilot.resize_terminal(*size)
            await settle(pilot)
            assert pilot.app.size == size
            grid = pilot.app.screen.query_one(ScatterGrid)
            for panel in grid.panels if grid.size.width > 20 else ():
                assert panel.region.right <= grid.content_region.width
        assert pilot.app.screen.selected == pilot.app.screen.snapshot.best.number


@pytest.mark.parametrize("name", sorted(studies.ODD))
async def test_odd_studies_survive_every_key(room, name):
    folder = room.study(name, journal_of(studies.ODD[name]()), alive=True)
    async with room.app(folder).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key in ("j", "k", "b", "enter", "tab", "f", "s", "s", "f", "G", "g", "l", "escape", "o", "tab"):
            await pilot.press(key)
            await pilot.pause()
        await pilot.resize_terminal(130, 40)
        await settle(pilot)
        assert isinstance(pilot.app.screen, StudyScreen)


async def test_a_folder_deleted_under_the_screen(room):
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        shutil.rmtree(folder.path)
        await until(pilot, lambda: "the study was deleted" in head(pilot.app))
        await pilot.press("G", "l", "escape", "p", "r")
        await pilot.press("escape")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, StudiesScreen) and pilot.app.screen.studies == ()
        )


async def test_a_journal_with_rubbish_and_a_torn_line(room):
    folder = room.study("small-1", studies.small_events(), alive=True)
    with folder.journal.open("ab") as file:
        file.write(b"\xff\xfe not an event\n{}\n" + b'{"event": "trial_sta')
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        assert len(pilot.app.screen.snapshot.trials) == 23
        assert pilot.app.screen.tail.caught_up


async def test_ten_thousand_trials_scroll_smoothly(room):
    """The table's own cost a page, without the terminal: well under a frame."""
    folder = room.study("large-1", journal_of(studies.large_snapshot(10_000, panels=3)))
    async with room.app(folder).run_test(size=(200, 50)) as pilot:
        while len(pilot.app.screen.snapshot.trials) < 10_000:
            await pilot.pause(0.05)
        await settle(pilot)
        table = pilot.app.screen.query_one(TrialTable)
        began = time.process_time()
        for page in range(20):
            table.scroll_to(y=page * 400, animate=False, immediate=True)
            for y in range(table.size.height):
                table.render_line(y)
        assert (time.process_time() - began) / 20 < 0.03
        await pilot.press("G")
        assert pilot.app.screen.selected == 9_999


async def test_keys_do_not_wait_for_the_plots(room):
    """Thirteen dirty panels of a thousand trials: the row moves before they are all redrawn."""
    folder = room.study("large-1", journal_of(studies.large_snapshot(1_000, panels=13)), alive=True)
    async with room.app(folder).run_test(size=(200, 50)) as pilot:
        await settle(pilot)
        screen, grid = pilot.app.screen, pilot.app.screen.query_one(ScatterGrid)
        screen.selected = 500
        slices = []
        while not grid.settled:
            began = time.process_time()
            grid._draw_some()
            slices.append(time.process_time() - began)
        assert len(slices) > 1, "all panels were drawn in one go"
        assert sorted(slices)[len(slices) // 2] < 0.05


def test_without_a_terminal_it_says_so_and_draws_nothing(room, capsys):
    with pytest.raises(NoTerminal, match="--headless"):
        run_tui(room.root, room.doors)
    assert capsys.readouterr().out == ""


def test_the_screen_loads_no_heavy_library():
    """What a first paint must not wait for; textual itself is the only large thing."""
    program = (
        "import sys, tuner_tui.ui.app\n"
        "heavy = {'torch', 'mlflow', 'optuna', 'numpy', 'scipy', 'plotext', 'matplotlib', 'PIL', 'pandas'}\n"
        "ours = {'tuner_tui.engine', 'tuner_tui.record', 'tuner_tui.report', 'models', 'meta'}\n"
        "print(sorted(name for name in sys.modules if name in heavy | ours or name.split('.')[0] in heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_screen_on_which_nothing_happens_draws_nothing(room, monkeypatch):
    """A viewer left open over SSH for a night must not send the same picture four times a second."""
    folder = room.study("small-1", studies.small_events())
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        await pilot.pause(0.3)
        drawn: list[object] = []
        real = Widget.refresh
        monkeypatch.setattr(
            Widget, "refresh", lambda self, *a, **k: (drawn.append(self), real(self, *a, **k))[1]
        )
        await pilot.pause(1.2)
        # The screen's own timer goes on ticking; what it must not do is dirty a widget.
        assert [widget for widget in drawn if not isinstance(widget, Screen)] == []


async def test_a_long_study_is_charted_off_the_keys(room, monkeypatch):
    monkeypatch.setattr("tuner_tui.ui.screens.following.CHART_HERE", 5)
    folder = room.study("small-1", studies.small_events(), alive=True)
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        screen = pilot.app.screen
        assert len(screen.scatters) == 5
        before = len(screen.scatters[0].marks)
        params = dict(screen.snapshot.trials[0].params)
        room.happen(folder, [TrialStarted(room.now, 23, params, 23)])
        room.happen(folder, [TrialMeasured(room.now + 1, 23, 0, {studies.OBJECTIVE: 0.4})])
        await until(pilot, lambda: len(screen.scatters[0].marks) > before)
        await settle(pilot)
        assert len(screen.scatters[0].marks) == before + 1


async def test_the_detail_links_a_trials_run_in_mlflow(room):
    folder = room.study("small-1", studies.small_events())
    folder.publisher_state.write_text(json.dumps({"uri": "http://box:5000", "experiment_id": "3"}))
    async with room.app(folder).run_test(size=WIDE) as pilot:
        await settle(pilot)
        await pilot.press("b")
        await settle(pilot)
        strips = pilot.app.screen._compositor.render_strips()
        drawn = "".join(strip.render(pilot.app.console) for strip in strips)
        best = pilot.app.screen.selected
    links = set(re.findall(r"\x1b]8;[^;]*;(http[^\x1b]+)\x1b", drawn))
    search = f"tags.`tuner.study` = 'small-1' and tags.`tuner.trial` = '{best}'"
    assert {unquote(link) for link in links} == {
        f"http://box:5000/#/experiments/3/runs?searchFilter={search}"
    }


async def test_the_running_trials_are_listed_with_what_they_hold_of_a_gpu(room, tmp_path, monkeypatch):
    """The driver's tool is pretended; the trial is a real process that leads its group, as trials do."""
    trial = subprocess.Popen(["sleep", str(PATIENCE_S)], start_new_session=True)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho '{trial.pid}, 1536'\necho '{trial.pid}, 512'\necho '1, [N/A]'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    opened = replace(studies.small_events()[0], host=platform.node())
    started = TrialStarted(room.now - 60, 0, {"lr": 0.1}, 1, device="cuda:0", pid=trial.pid)
    folder = room.study("small-1", [opened, started], alive=True)
    try:
        async with room.app(folder).run_test(size=WIDE) as pilot:
            detail = pilot.app.screen.query_one("#detail-text")

            def told() -> bool:
                room.now += 5  # seconds; they are listed anew every five
                return "2,048 MiB on the GPU" in str(detail.content)

            await until(pilot, told)
            assert "#0  cuda:0" in str(detail.content)
    finally:
        trial.kill()
        trial.wait()
