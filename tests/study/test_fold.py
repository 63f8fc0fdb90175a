"""The fold: whatever order trials report in and however events are cut into batches, one picture results."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from support import questions

from tuner_tui.study.events import (
    Event,
    StudyChanged,
    StudyClosed,
    StudyOpened,
    TrialEnded,
    TrialMeasured,
    TrialRetried,
    TrialStarted,
)
from tuner_tui.study.outcomes import Outcome, Reason, judge
from tuner_tui.study.snapshot import Snapshot, fold, fold_all


def opened(at: float = 0.0, trials: int = 10, direction: str = "minimize", **more) -> StudyOpened:
    return questions.opened(at, trials=trials, direction=direction, pid=7, **more)


def folded(events: Iterable[Event], start: Snapshot | None = None) -> Snapshot:
    return fold_all(start or Snapshot(), events)


@st.composite
def trial_streams(draw: st.DrawFn, number: int) -> list[Event]:
    """All one trial says, in order: started, some measurements, perhaps an end."""
    at = draw(st.floats(1, 100))
    events: list[Event] = [TrialStarted(at, number, {"lr": draw(st.floats(0, 1))}, seed=number)]
    finite = False
    for step in range(draw(st.integers(0, 5))):
        at += draw(st.floats(0.001, 10))
        name = draw(st.sampled_from(["loss", "accuracy"]))
        value = draw(st.sampled_from([0.5, 2.0, -1.0, 0.0, math.nan, math.inf, -math.inf]))
        events.append(TrialMeasured(at, number, step, {name: value}))
        finite = finite or (name == "loss" and math.isfinite(value))
    if draw(st.booleans()):
        reason = draw(st.none() | st.sampled_from(Reason))
        events.append(TrialEnded(at + 1, number, judge(reason, finite), reason))
    return events


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """Two orders of the same streams, each keeping the order within a trial."""
    streams = [draw(trial_streams(number)) for number in range(draw(st.integers(1, 4)))]

    def shuffle() -> list[Event]:
        turns = draw(st.permutations([n for n, stream in enumerate(streams) for _ in stream]))
        waiting = [iter(stream) for stream in streams]
        return [next(waiting[turn]) for turn in turns]

    return shuffle(), shuffle()


@given(interleavings())
def test_any_interleaving_of_trials_gives_the_same_picture(orders: tuple[list[Event], list[Event]]) -> None:
    first, second = orders
    assert folded([opened(), *first]) == folded([opened(), *second])


@given(interleavings(), st.data())
def test_any_cut_into_batches_gives_the_same_picture(orders: tuple[list[Event], list[Event]], data) -> None:
    events = [opened(), *orders[0]]
    at_once = folded(events)
    one_by_one = Snapshot()
    for event in events:
        one_by_one = fold(one_by_one, event)
    assert one_by_one == at_once
    cut = data.draw(st.integers(0, len(events)))
    assert folded(events[cut:], folded(events[:cut])) == at_once


@given(interleavings())
def test_what_a_snapshot_computed_once_stays_true_of_the_next(
    orders: tuple[list[Event], list[Event]],
) -> None:
    events = [opened(), *orders[0]]
    live = Snapshot()
    for count, event in enumerate(events, 1):
        live = fold(live, event)
        fresh = folded(events[:count])
        for name in (
            "before",
            "best",
            "confirmed",
            "counts",
            "ends",
            "space",
        ):  # asked after each event, as a screen does
            assert getattr(live, name) == getattr(fresh, name)


@given(interleavings(), st.data())
def test_repeats_change_nothing_but_the_version(orders: tuple[list[Event], list[Event]], data) -> None:
    events = [opened(), *orders[0]]
    # At least once: a publisher that lost its place goes back and reads a stretch of the journal again.
    start = data.draw(st.integers(1, len(events)))
    end = data.draw(st.integers(start, len(events)))
    repeated = [*events[:end], *events[start:]]
    once, twice = folded(events), folded(repeated)
    assert twice.version == len(repeated)
    assert twice.trials == once.trials and twice.counts == once.counts


@given(interleavings())
def test_counts_add_up(orders: tuple[list[Event], list[Event]]) -> None:
    snapshot = folded([opened(trials=3), *orders[0]])
    counts = snapshot.counts
    assert counts.running + counts.ended == len(snapshot.trials)
    assert counts.finished == sum(t.outcome is Outcome.FINISHED for t in snapshot.trials.values())
    assert counts.waiting == max(0, 3 - len(snapshot.trials))


@given(interleavings())
def test_the_value_is_the_last_finite_loss_and_every_reading_is_kept(
    orders: tuple[list[Event], list[Event]],
) -> None:
    snapshot = folded([opened(), *orders[0]])
    for number, trial in snapshot.trials.items():
        measured = [e for e in orders[0] if isinstance(e, TrialMeasured) and e.trial == number]
        losses = [(e.step, e.values["loss"]) for e in measured if "loss" in e.values]
        assert trial.curve == tuple(losses)
        assert trial.steps == len(measured)
        before_nan = list(itertools.takewhile(lambda reading: not math.isnan(reading[1]), losses))
        assert trial.value == next((loss for _, loss in reversed(before_nan) if math.isfinite(loss)), None)
        has_nan = len(before_nan) < len(losses)
        assert trial.not_a_number == (has_nan or (bool(losses) and not math.isfinite(losses[-1][1])))


def test_folding_leaves_the_older_picture_alone() -> None:
    before = folded([opened(), TrialStarted(1, 0, {}, 0), TrialMeasured(2, 0, 0, {"loss": 3.0})])
    after = folded([TrialMeasured(3, 0, 1, {"loss": 2.0}), TrialStarted(3, 1, {}, 1)], before)
    assert before.trials[0].value == 3.0 and list(before.trials) == [0]
    assert after.trials[0].value == 2.0 and list(after.trials) == [0, 1]


def test_a_second_end_and_what_comes_after_the_end_are_passed_over() -> None:
    snapshot = folded(
        [
            opened(),
            TrialStarted(1, 0, {}, 0),
            TrialMeasured(2, 0, 0, {"loss": 1.0}),
            TrialEnded(3, 0, Outcome.FINISHED),
            TrialEnded(4, 0, Outcome.UNFINISHED, Reason.INTERRUPTED),
            TrialMeasured(5, 0, 1, {"loss": 9.0}),
        ]
    )
    trial = snapshot.trials[0]
    assert (trial.outcome, trial.reason, trial.ended_at, trial.value) == (Outcome.FINISHED, None, 3, 1.0)


def test_what_speaks_of_a_trial_nobody_started_is_passed_over() -> None:
    early: list[Event] = [TrialMeasured(1, 5, 0, {"loss": 1.0}), TrialEnded(2, 5, Outcome.FINISHED)]
    assert folded([opened(), *early]).trials == {}
    # ... even when it starts later on, and however the events are cut.
    late = TrialStarted(3, 5, {}, 0)
    assert folded([opened(), *early, late]) == folded([late], folded([opened(), *early]))


def test_the_best_trial_is_a_finished_one() -> None:
    def end(number: int, loss: float, outcome: Outcome) -> list[Event]:
        return [
            TrialStarted(1, number, {}, 0),
            TrialMeasured(2, number, 0, {"loss": loss}),
            TrialEnded(3, number, outcome, None if outcome is Outcome.FINISHED else Reason.SIGNAL),
        ]

    trials = [
        *end(0, 0.5, Outcome.FINISHED), *end(1, 0.1, Outcome.UNFINISHED), *end(2, 0.9, Outcome.FINISHED),
        *end(3, 0.5, Outcome.FINISHED), TrialStarted(1, 4, {}, 0),
    ]  # fmt: skip
    smallest = folded([opened(), *trials])
    assert smallest.best is not None and smallest.best.number == 0  # the earlier of two equals
    assert [t.number for t in sorted(smallest.trials.values(), key=smallest.rank)] == [1, 0, 3, 2, 4]
    largest = folded([opened(direction="maximize"), *trials])
    assert largest.best is not None and largest.best.number == 2


def test_a_resumed_study_is_open_again_and_keeps_its_first_opening() -> None:
    stopped = folded([opened(at=5), StudyChanged(6, paused=True, stopping=True), StudyClosed(7, "stopped")])
    assert (stopped.closed_at, stopped.closed_why, stopped.paused, stopped.stopping) == (
        7, "stopped", True, True,
    )  # fmt: skip
    again = folded([opened(at=9, trials=20, resumed=True)], stopped)
    assert (again.opened_at, again.closed_at, again.closed_why) == (5, None, "")
    assert (again.planned, again.paused, again.stopping) == (20, False, False)


def test_a_change_changes_what_it_names() -> None:
    snapshot = folded([opened(), StudyChanged(1, trials=30)])
    assert snapshot.planned == 30 and snapshot.counts.waiting == 30 and not snapshot.paused
    assert folded([StudyChanged(2, paused=True)], snapshot).planned == 30


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 7))
def test_a_long_curve_grown_in_bites_is_whole(readings: int, bite: int) -> None:
    snapshot = folded([opened(), TrialStarted(0, 0, {}, 0)])
    events = [TrialMeasured(1.0 + i, 0, i, {"loss": float(i)}) for i in range(readings)]
    for start in range(0, readings, bite):
        snapshot = folded(events[start : start + bite], snapshot)
    assert snapshot.trials[0].curve == tuple((i, float(i)) for i in range(readings))


def test_ten_thousand_trials_fold(record_property) -> None:
    """A viewer attaches to a week of work. The figure is printed with -rA and asserted nowhere."""
    trials, measurements = 10_000, 20
    events: list[Event] = [opened(trials=trials)]
    for number in range(trials):
        events.append(TrialStarted(1.0, number, {"lr": 0.1}, number))
        events += [TrialMeasured(2.0 + i, number, i, {"loss": 1 / (i + 1)}) for i in range(measurements)]
        events.append(TrialEnded(50.0, number, Outcome.FINISHED))
    started = time.perf_counter()
    snapshot = folded(events)
    seconds = time.perf_counter() - started
    record_property("fold_seconds", round(seconds, 3))
    print(f"folded {len(events)} events in {seconds:.2f} s")
    assert snapshot.counts.finished == trials
    assert len(snapshot.trials[trials - 1].curve) == measurements


@given(data=st.data())
def test_a_trial_that_is_tried_again_is_its_last_attempt_however_it_is_read(data):
    events: list[Event] = [
        opened(trials=1),
        TrialStarted(1.0, 0, {"lr": 0.1}, 7, pid=10), TrialMeasured(2.0, 0, 0, {"loss": math.nan}),
        TrialRetried(3.0, 0, "signal", "killed by SIGKILL", -9),
        TrialStarted(4.0, 0, {"lr": 0.1}, 7, pid=11), TrialMeasured(5.0, 0, 0, {"loss": 4.0}),
        TrialRetried(6.0, 0, "signal", "killed by SIGTERM", -15),
        TrialStarted(7.0, 0, {"lr": 0.1}, 7, pid=12), TrialMeasured(8.0, 0, 0, {"loss": 2.0}),
        TrialEnded(9.0, 0, Outcome.FINISHED),
    ]  # fmt: skip
    whole = fold_all(Snapshot(), events)
    trial = whole.trials[0]
    assert (trial.pid, trial.value, trial.curve, trial.nan_at) == (12, 2.0, ((0, 2.0),), None)
    assert [attempt[2] for attempt in trial.attempts] == ["killed by SIGKILL", "killed by SIGTERM"]
    told = Snapshot()
    for at, event in enumerate(events):  # each with what came just before it told once more
        again = data.draw(st.integers(max(0, at - 2), at))
        told = fold_all(told, [*events[again:at], event])
    assert told.trials == whole.trials


@given(data=st.data())
def test_a_trial_that_was_interrupted_with_its_engine_runs_again_however_it_is_read(data):
    interrupted = (Outcome.UNFINISHED, Reason.INTERRUPTED, "the engine was killed")
    events: list[Event] = [
        opened(trials=1),
        TrialStarted(1.0, 0, {"lr": 0.1}, 7, pid=10), TrialMeasured(2.0, 0, 0, {"loss": 4.0}),
        TrialEnded(3.0, 0, *interrupted), TrialRetried(3.5, 0, *interrupted[1:]),
        TrialStarted(5.0, 0, {"lr": 0.1}, 7, pid=11), TrialMeasured(6.0, 0, 0, {"loss": 3.0}),
        TrialEnded(7.0, 0, *interrupted), TrialRetried(7.5, 0, *interrupted[1:]),
        TrialStarted(8.0, 0, {"lr": 0.1}, 7, pid=12), TrialMeasured(9.0, 0, 0, {"loss": 2.0}),
        TrialEnded(10.0, 0, Outcome.FINISHED),
    ]  # fmt: skip
    told = Snapshot()
    for at, event in enumerate(events):  # each with some of what came before it told once more
        again = data.draw(st.integers(0, at))
        told = fold_all(told, [*events[again:at], event])
        assert told.trials == fold_all(Snapshot(), events[: at + 1]).trials
    trial = told.trials[0]
    assert (trial.outcome, trial.reason, trial.message, trial.pid) == (Outcome.FINISHED, None, "", 12)
    assert (trial.curve, trial.started_at, trial.ended_at) == (((0, 2.0),), 8.0, 10.0)
    assert [reason for _, reason, _ in trial.attempts] == ["interrupted"] * 2


def test_only_a_trial_that_was_interrupted_runs_again_after_its_end():
    for outcome, reason, again in (
        (Outcome.FINISHED, None, "interrupted"),
        (Outcome.UNFINISHED, Reason.STOPPED, "interrupted"),
        (Outcome.UNFINISHED, Reason.INTERRUPTED, "signal"),
    ):
        events = [opened(trials=1), TrialStarted(1.0, 0, {}, 0), TrialEnded(2.0, 0, outcome, reason)]
        assert folded([*events, TrialRetried(3.0, 0, again)]).trials == folded(events).trials


def test_an_event_of_a_large_study_costs_little_more_than_a_copy_of_its_table():
    """Processor time, against a plain copy on the same machine; the thirty times that it once was is an hour for a
    million events."""
    events = [TrialStarted(float(number), number, {}, 0) for number in range(5000)]
    snapshot = fold_all(Snapshot(), events)
    plain = dict(snapshot.trials)

    def cost(work) -> float:
        began = time.process_time()
        for _ in range(100):
            work()
        return time.process_time() - began

    pairs = [
        (cost(lambda: fold(snapshot, TrialStarted(1e9, 9999, {}, 0))), cost(lambda: dict(plain)))
        for _ in range(5)
    ]
    assert min(ours / copy for ours, copy in pairs) < 12
