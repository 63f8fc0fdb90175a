"""However the journal is cut into batches, MLflow is told the same."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import opened

from tuner_tui.record.plan import Story, before_anything
from tuner_tui.search.space import Float, Hyperparameter, Int, Space
from tuner_tui.study.events import (
    Event,
    StudyClosed,
    TrialEnded,
    TrialMeasured,
    TrialRetried,
    TrialSampled,
    TrialStarted,
)
from tuner_tui.study.outcomes import Outcome, Reason, judge

LOSSES = st.lists(st.sampled_from([0.5, 0.25, math.nan, math.inf, -math.inf]), max_size=4)
TRIALS = st.lists(st.tuples(LOSSES, st.sampled_from([None, *Reason]), st.integers(0, 2)), max_size=5)


def journal(trials: list[tuple[list[float], Reason | None, int]]) -> list[Event]:
    """`trials`: losses, reason, and how often it was interrupted with its engine before."""
    at = 1.0
    events: list[Event] = [opened(at)]
    for number, (losses, reason, interrupted) in enumerate(trials):
        for why in [Reason.INTERRUPTED] * interrupted + [reason]:
            events.append(TrialStarted(at := at + 1, number, {"lr": number}, seed=number))
            events += [
                TrialMeasured(at := at + 1, number, step, {"loss": loss, "odd (name)": loss})
                for step, loss in enumerate(losses)
            ]
            events.append(TrialSampled(at + 0.5, number, 0, {"system/cpu_utilization_percentage": 12.5}))
            finite = any(math.isfinite(loss) for loss in losses)
            events.append(TrialEnded(at := at + 1, number, judge(why, finite), why))
            events.append(TrialRetried(at := at + 1, number, why))
        events.pop()
    events.append(StudyClosed(at + 1, "stopped"))
    events += [opened(at + 2, resumed=True), StudyClosed(at + 3, "completed")]
    return events


def told(events: list[Event], cuts: list[int]) -> dict[str, Any]:
    """All that MLflow holds in the end, when the journal is cut at `cuts`."""
    story: Story = before_anything("s-1")
    everything: dict[str, Any] = {"metrics": [], "tags": {}, "status": None, "uploads": [], "runs": {}}
    edges = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    for start, stop in itertools.pairwise(edges):
        story, plan = story.tell(events[start:stop])
        everything["metrics"] += plan.study.metrics
        everything["tags"] |= plan.study.tags
        everything["status"] = plan.study.status or everything["status"]
        everything["uploads"] += plan.uploads
        for write in plan.runs:
            run = everything["runs"].setdefault(
                write.trial, {"metrics": [], "tags": {}, "params": {}, "ends": None}
            )
            run["metrics"] += write.metrics
            run["tags"] |= write.tags
            run["ends"] = None if write.reopens else run["ends"]
            run["params"] |= write.params
            run["ends"] = write.ends or run["ends"]
            run["begins"] = write.begins or run.get("begins")
    return everything


@settings(max_examples=200)
@given(TRIALS, st.lists(st.integers(0, 60), max_size=8))
def test_batches_do_not_change_what_is_told(trials, cuts) -> None:
    events = journal(trials)
    assert repr(told(events, cuts)) == repr(told(events, []))  # repr: nan is equal to itself there


@given(TRIALS, st.integers(0, 60), st.integers(0, 60))
def test_events_told_twice_are_told_once(trials, start: int, stop: int) -> None:
    events = journal(trials)[:-3]
    again = events[min(start, stop) : max(start, stop)]
    without_openings = [
        event for event in again if isinstance(event, (TrialStarted, TrialMeasured, TrialEnded, TrialRetried))
    ]
    once, twice = told(events, []), told(events + without_openings, [])
    assert repr(once) == repr(twice)


def test_not_a_number_is_told_and_counted() -> None:
    run = told(journal([([0.5, math.inf, -math.inf] * 10, Reason.DIVERGED, 0)]), [])["runs"][0]
    assert all(math.isfinite(row.value) or math.isnan(row.value) for row in run["metrics"])
    note = run["tags"]["tuner.not_finite"]
    assert note.startswith("loss: inf at step 1; odd (name): inf at step 1; loss: -inf at step 2")
    assert note.endswith("and 32 more") and run["tags"]["tuner.value"] == "0.5"
    assert run["ends"] == ("FAILED", 33_000)  # diverged is the trial's own doing


def test_the_parent_has_the_best_trials_parameters_and_nothing_of_an_earlier_best() -> None:
    first, second = {"x": 1.0, "depth": 3}, {"x": 2.0}
    space = Space((Hyperparameter("x", Float(0, 9)), Hyperparameter("depth", Int(1, 9))))
    events: list[Event] = [opened(1.0, space=space)]
    for number, params in enumerate((first, second)):
        at = 10.0 * (number + 1)
        events += [
            TrialStarted(at, number, params, seed=0), TrialMeasured(at + 1, number, 0, {"loss": 1.0 - number}),
            TrialEnded(at + 2, number, Outcome.FINISHED),
        ]  # fmt: skip
    for cuts in ([], [4]):
        tags = told(events, cuts)["tags"]
        assert (tags["best.x"], tags["best.depth"], tags["tuner.best_trial"]) == ("2.0", "", "1")
    run = told(events, [])["runs"][1]
    assert [(m.key, m.value) for m in run["metrics"]] == [("loss", 0.0), ("tuner.value", 0.0)]


def test_a_study_that_closed_and_was_taken_up_again_ends_as_it_last_closed() -> None:
    everything = told(journal([([0.5], None, 0)]), [])
    assert everything["status"] == "FINISHED" and everything["tags"]["tuner.state"] == "completed"
    assert everything["uploads"] == ["search", "0", "summary", "search", "summary"]


def test_of_a_trial_that_ran_again_nothing_of_its_interruption_is_left() -> None:
    everything = told(
        journal([([0.5], None, 2), ([], Reason.EXCEPTION, 1), ([0.25], Reason.INTERRUPTED, 0)]), []
    )
    first, second, third = (everything["runs"][number] for number in range(3))
    tags = first["tags"]
    assert (tags["tuner.outcome"], tags["tuner.reason"], tags["tuner.value"]) == ("finished", "", "0.5")
    assert len([name for name in tags if name.startswith("tuner.attempt.")]) == 2
    assert second["tags"]["tuner.reason"] == "exception" and second["tags"]["tuner.value"] == ""
    assert third["tags"]["tuner.reason"] == "interrupted"
    assert [run["ends"][0] for run in (first, second, third)] == ["FINISHED", "FAILED", "KILLED"]
    newest = {m.key: m.value for m in sorted(everything["metrics"], key=lambda m: m.step)}
    assert newest == {"finished": 1.0, "unfinished": 1.0, "no_start": 1.0, "best": 0.5}
    steps = [m.step for m in everything["metrics"] if m.key != "best"]
    assert len(set(steps[3:])) == len(steps[3:])  # behind the three zeros
