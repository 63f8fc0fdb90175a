"""A study that another program runs, on the screen: followed live, and no key is offered that can't work."""

from __future__ import annotations

from dataclasses import replace

import optuna
from support import optuna_studies, studies
from support.mlflow_runs import Lab
from support.room import until

from tuner_tui.sources import find_source
from tuner_tui.sources.background import Background
from tuner_tui.sources.source import Wanted
from tuner_tui.study.events import StudyAsked
from tuner_tui.study.history import history
from tuner_tui.ui.keys import KEYS
from tuner_tui.ui.screens.help import Help
from tuner_tui.ui.screens.studies import StudiesScreen
from tuner_tui.ui.widgets.counts import Counts
from tuner_tui.ui.widgets.key_line import KeyLine
from tuner_tui.ui.widgets.trial_table import TrialTable

NEEDY = [key for key in KEYS if key.needs]


async def test_an_optuna_study_live_without_keys_that_cannot_work(room, tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    study = optuna_studies.every_end(url)
    source = Background(find_source(tmp_path, f"optuna:{url}"))
    app = room.app(source)
    async with app.run_test(size=(140, 40)) as pilot:
        screen = app.screen
        await until(pilot, lambda: len(screen.snapshot.trials) == 8 and screen.settled)
        head = str(screen.query_one(Counts).render())
        assert "digits" in head and "running" in head and "left" not in head and "estimate" not in head
        foot = str(screen.query_one(KeyLine).render())
        assert not {f"{key.shown} {key.label}" for key in NEEDY if f"{key.shown} {key.label}" in foot}
        study.tell(7, 1.5)  # those of add_trials are at most 1
        optuna_studies.add_trials(url, "digits", 3)
        await until(pilot, lambda: screen.snapshot.counts.finished == 6)
        assert screen.snapshot.best.number == 7
        for key in ("x", "p", "plus", "K", "r", "l"):  # they do nothing, and the screen stays
            await pilot.press(key)
        assert app.screen is screen and not app._notifications
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        shown = " ".join(str(static.render()) for static in app.screen.query("Static"))
        assert "Jump to the best trial" in shown
        assert not [key.tooltip for key in NEEDY if key.tooltip in shown]
        await pilot.press("escape")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, StudiesScreen))
        await until(pilot, lambda: [row.name for row in app.screen.studies] == ["digits"])
        await pilot.press("r")
        assert [n.message for n in app._notifications] == [
            "digits can only be looked at: another program runs it."
        ]
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not screen and app.screen.source is source)


async def test_trials_from_before_a_study_have_signs_of_their_own_everywhere(room):
    past = history(studies.small_snapshot(), "optuna:sqlite:///trials.db digits", studies.OBJECTIVE)
    question = StudyAsked(studies.START, "new-1", replace(studies.small_snapshot().search, trials=5))
    app = room.app(room.study("new-1", [question, *past]))
    async with app.run_test(size=(140, 40)) as pilot:
        screen = app.screen
        await until(pilot, lambda: screen.snapshot.before > 0 and screen.settled)
        before = screen.snapshot.before
        head = str(screen.query_one(Counts).render())
        assert f"◇ {before} from before" in head and "· 5 waiting" in head and "● 0 finished" in head
        rows = screen.query_one(TrialTable)
        ends = {rows.cells(row)[1][0] for row in range(rows.row_count)}
        assert ends <= {"◇", "△", "│"} and {"◇", "△"} <= ends
        await pilot.press("down")
        await until(pilot, lambda: screen.selected is not None and screen.settled)
        shown = " ".join(str(static.render()) for static in screen.query("Static"))
        assert "from optuna:sqlite:///trials.db digits" in shown


async def test_a_deleted_study_stays_to_be_looked_at(room, tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    optuna_studies.every_end(url)
    app = room.app(Background(find_source(tmp_path, f"optuna:{url}")))
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: len(app.screen.snapshot.trials) == 8)
        optuna.delete_study(study_name="digits", storage=url)
        await until(pilot, lambda: "the study was deleted" in str(app.screen.query_one(Counts).render()))
        assert len(app.screen.snapshot.trials) == 8


async def test_an_mlflow_experiment_live_with_the_curves_of_the_selected_run(room, tmp_path):
    lab = Lab(f"sqlite:///{tmp_path}/runs.db")
    for number in range(3):
        lab.run([0.9, 0.5 - number / 10], params={"lr": 10.0 ** -(number + 1)}, acc=0.5)
    app = room.app(Background(find_source(tmp_path, f"mlflow:{lab.uri}", "digits", Wanted("val_loss"))))
    async with app.run_test(size=(140, 40)) as pilot:
        screen = app.screen
        await until(pilot, lambda: screen.snapshot.counts.finished == 3 and screen.settled)
        assert screen.snapshot.best.value == 0.3
        lab.run([0.8, 0.1], params={"lr": 1e-4}, acc=0.9)
        await until(pilot, lambda: screen.snapshot.counts.finished == 4)
        await pilot.press("b")
        await until(pilot, lambda: screen.selected == 3)
        await until(pilot, lambda: screen.curves.get("val_loss") == [(1, 0.8), (2, 0.1)])
        await pilot.press("x", "r")  # nothing can be asked of it
        assert app.screen is screen
