"""Trials of another study as the first events of a new one: they keep what they were, and are counted apart."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from support import studies
from support.snapshot_strategies import snapshots

from tuner_tui.analysis.draws import counted
from tuner_tui.analysis.failures import failure_groups
from tuner_tui.analysis.pace import Pace
from tuner_tui.engine.breaker import broken
from tuner_tui.engine.sampler import make_sampler
from tuner_tui.record.plan import before_anything
from tuner_tui.report.junit import junit
from tuner_tui.report.machine import from_json, to_json
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Hyperparameter, Space
from tuner_tui.study.cached_fold import decode as fold_from_json
from tuner_tui.study.cached_fold import encode as fold_to_json
from tuner_tui.study.events import (
    StudyAsked,
    StudyOpened,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    decode,
    encode,
)
from tuner_tui.study.history import history
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, fold_all
from tuner_tui.view.charts import scatters
from tuner_tui.view.legend import legend
from tuner_tui.view.page import page

ADDRESS = "optuna:sqlite:///trials.db digits"
SEARCH = Search("new", "train:train", "loss", studies.SMALL_SPACE, trials=10)


def begun(past: Snapshot, search: Search = SEARCH) -> Snapshot:
    """A study that begins with the trials of `past`; its own have not started."""
    return fold_all(Snapshot(), [StudyAsked(1.0, "new-1", search), *history(past, ADDRESS, search.objective)])


@given(snapshots)
def test_every_trial_keeps_its_parameters_curve_value_end_and_times(past):
    ended = sorted((t for t in past.trials.values() if not t.running), key=lambda t: t.number)
    new = begun(past)
    assert [t.number for t in new.trials.values()] == list(range(len(ended)))
    for was, now in zip(ended, new.trials.values(), strict=True):
        assert now.source == ADDRESS
        assert (now.params, now.seed, now.outcome, now.reason, now.message, now.started_at) == (
            was.params, was.seed, was.outcome, was.reason, was.message, was.started_at
        )  # fmt: skip
        assert repr(now.curve) == repr(was.curve)
        assert (repr(now.value), now.nan_at, now.steps) == (repr(was.value), was.nan_at, was.steps)
        assert now.seconds(0) >= was.seconds(0) - 1e-3


@given(snapshots)
def test_they_are_counted_apart_and_leave_the_plan_as_it_is(past):
    new = begun(past)
    ended = sum(not t.running for t in past.trials.values())
    assert (new.counts.before, new.before, new.counts.ended, new.counts.planned) == (ended, ended, 0, 10)
    assert (new.planned, new.counts.waiting, new.next_number) == (10, 10, ended + 10)
    assert new.own.trials == {} and new.own.before == 0
    assert counted(new) == [] and failure_groups(new) == [] and Pace(new.trials.values()).typical() is None
    assert len(junit(new)[0]) == 0


def test_the_journal_and_its_kept_fold_remember_where_a_trial_is_from():
    events = history(studies.small_snapshot(), ADDRESS, "loss")
    again = [decode(encode(event)) for event in events]
    assert again == events
    new = begun(studies.small_snapshot())
    assert fold_from_json(json.loads(json.dumps(fold_to_json(new)))).before == new.before
    assert '"source"' not in encode(TrialStarted(1.0, 0, {}, 0))


def test_a_study_that_begins_with_one_that_began_with_another_names_the_first():
    second = history(begun(studies.small_snapshot()), "new-1", "loss")
    assert {e.source for e in second if isinstance(e, TrialStarted)} == {ADDRESS}


def test_the_report_says_which_trials_are_from_before_and_is_read_back_so():
    new = begun(studies.small_snapshot())
    report = to_json(new)
    assert report["counts"] == {"finished": 0, "unfinished": 0, "no_start": 0, "before": new.before}
    assert {t["source"] for t in report["trials"]} == {ADDRESS}
    again = from_json(json.loads(json.dumps(report)))
    assert (again.before, again.planned, again.counts.ended) == (new.before, 0, 0)


def test_mlflow_gets_no_run_of_them():
    events = [
        StudyOpened(2.0, "new-1", SEARCH, pid=1),
        *history(studies.small_snapshot(), ADDRESS, "loss"),
        TrialStarted(3.0, 99, {"lr": 0.1}, 0),
    ]
    _, plan = before_anything("new-1").tell(events)
    assert [run.trial for run in plan.runs] == [99]
    assert not [name for name in plan.uploads if name.isdecimal()]


def test_they_say_nothing_of_whether_this_study_measures_its_objective():
    """The breaker looks at this study's own trials: those of another had no fault of this search file."""
    past = begun(studies.small_snapshot())
    number = past.next_number
    events = [
        TrialStarted(2.0, number, {}, 0),
        TrialEnded(3.0, number, Outcome.NO_START, Reason.EXIT, "measured no loss"),
    ]
    new = fold_all(past, events)
    last = new.trials[number]
    assert broken(SEARCH, new.own.trials, last, by_itself=True)
    assert any(t.curve for t in new.trials.values())


# ---- what a sampler is told


def learned(past: Snapshot, search: Search, draws: int = 30) -> list[float]:
    sampler = make_sampler(search, past=begun(past, search).trials.values())
    return [sampler.ask(number)["x"] for number in range(100, 100 + draws)]


def valley() -> Snapshot:
    """A finished study in which x near 0.2 was best, with trials that a new space has no place for."""
    space = Space((Hyperparameter("x", Float(0.0, 2.0)),))
    search = Search("old", "", "value", space, trials=60, sampler="")
    events: list = [StudyOpened(1.0, "old", search, pid=0)]
    for number in range(60):
        x = number / 30
        events += [
            TrialStarted(10.0 + number, number, {"x": x, "gone": "text"}, None),
            TrialMeasured(10.1 + number, number, 0, {"value": (x - 0.2) ** 2}),
            TrialEnded(10.2 + number, number, Outcome.FINISHED),
        ]
    return fold_all(Snapshot(), events)


def test_a_sampler_that_learns_draws_near_what_did_well_before():
    search = Search("new", "t:t", "loss", Space((Hyperparameter("x", Float(0.0, 1.0)),)), sampler="tpe")
    told = learned(valley(), search)
    fresh = [make_sampler(search).ask(number)["x"] for number in range(100, 130)]
    near = [sum(abs(x - 0.2) < 0.1 for x in drawn) for drawn in (told, fresh)]
    assert near[0] > 2 * near[1], near


def test_values_of_another_kind_are_passed_over():
    for distribution in (Choice(("a", "b")), Float(5.0, 6.0)):
        search = Search("new", "t:t", "loss", Space((Hyperparameter("x", distribution),)), sampler="tpe")
        learned(valley(), search, draws=3)
    texts = replace(
        valley(), trials={n: replace(t, params={"x": "much"}) for n, t in valley().trials.items()}
    )
    learned(texts, replace(search, space=Space((Hyperparameter("x", Float(0.0, 1.0)),))), draws=3)


# ---- how they are shown


@given(snapshots)
def test_every_mark_lies_on_its_axis_whatever_space_a_trial_is_from(past):
    narrow = Space(
        (Hyperparameter("lr", Float(1e-3, 1e-2, log=True)), Hyperparameter("momentum", Float(0.4, 0.5)))
    )
    for scatter in scatters(begun(past, replace(SEARCH, space=narrow))):
        for mark in scatter.marks:
            assert mark.before and scatter.x.low <= mark.x <= scatter.x.high
    page(begun(past), 100)


def test_an_axis_is_as_wide_as_the_trials_from_before_and_they_have_signs_of_their_own():
    search = Search("new", "t:t", "loss", Space((Hyperparameter("x", Float(0.0, 1.0)),)))
    new = begun(valley(), search)
    [scatter] = scatters(new)
    assert scatter.x.high > max(mark.x for mark in scatter.marks) >= 1.9
    text = page(new, 100)
    assert "◇" in text and "●" not in text.split("\n\n")[0].replace("● 0", "")
    assert "◇ 60 from before" in "".join(run.text for run in legend(new))
