"""What the loop decides, with a scripted launcher and a clock turned by hand: no process, no waiting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.one_trial import a_search

from tuner_tui.engine.engine import Engine, trial_seed
from tuner_tui.engine.launcher import Exited, Job, LauncherEvent, NotNow, Said, Started
from tuner_tui.engine.slots import make_slots, parse_gpus, places
from tuner_tui.search.search import Limits, Search
from tuner_tui.search.space import Float, Space
from tuner_tui.study.events import Event, StudyOpened, TrialSampled
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.requests import Request
from tuner_tui.study.snapshot import Snapshot, fold


@dataclass
class HandClock:
    now: float = 0.0

    def wall(self) -> float:
        return 1e9 + self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class ScriptedLauncher:
    """Plays the events queued by the test; an empty queue lets the clock jump an hour."""

    clock: HandClock
    queue: list[list[LauncherEvent]] = field(default_factory=list)
    jobs: dict[int, Job] = field(default_factory=dict)
    stops: list[tuple[int, bool]] = field(default_factory=list)
    ends_when_asked: bool = True

    def submit(self, job: Job) -> None:
        self.jobs[job.trial] = job
        self.queue.append([Started(job.trial, self.clock.wall(), 1)])

    def events(self, timeout: float) -> list[LauncherEvent]:
        if self.queue:
            return self.queue.pop(0)
        self.clock.now += 3600
        return []

    def stop(self, trial: int, *, now: bool = False) -> None:
        self.stops.append((trial, now))
        if now or self.ends_when_asked:
            self.queue.append([Exited(trial, self.clock.wall(), -9 if now else 0)])

    def samples(self) -> dict[int, dict[str, float]]:
        return {trial: {"system/cpu_utilization_percentage": 50.0} for trial in self.jobs}

    def close(self) -> None:
        pass


@dataclass
class NumberSampler:
    told: list[tuple[int, float | None, Outcome]] = field(default_factory=list)

    def ask(self, number: int) -> dict[str, float]:
        return {"x": float(number)}

    def tell(self, trial) -> None:
        self.told.append((trial.number, trial.value, trial.outcome))


class ListJournal(list):
    def append(self, events) -> None:  # type: ignore[override]
        self.extend(events)


@pytest.fixture
def play(tmp_path: Path):
    """Run an engine over a script; `requests` maps the loop's turn to what is asked then."""

    def run(
        search, script, requests=None, ends_when_asked=True, snapshot=None, pruner=None, at_once=False,
        refuse=lambda trial: None, hold=lambda why: None,
    ):  # fmt: skip
        clock = HandClock()
        launcher = ScriptedLauncher(clock, ends_when_asked=ends_when_asked)
        sampler, journal, turn = NumberSampler(), ListJournal(), iter(range(10**6))
        opened = StudyOpened(0.0, "s", search, pid=1)
        engine = Engine(
            search, StudyFolder(tmp_path), fold(snapshot or Snapshot(), opened), launcher=launcher,
            sampler=sampler, pruner=pruner, journal=journal, clock=clock, hold=hold,
            slots=lambda parallel: make_slots(parallel, [], cores=8),
            requests=lambda: (requests or {}).get(next(turn), []),
        )  # fmt: skip
        submit = launcher.submit

        def scripted(job: Job) -> None:
            if refusal := refuse(job.trial):
                launcher.queue.append([refusal])
                return
            submit(job)
            news = script(job.trial)
            launcher.queue += [news] if at_once else [[item] for item in news]

        launcher.submit = scripted  # type: ignore[method-assign]
        return engine.run(), launcher, sampler, journal

    return run


LONG = Limits(trial_seconds=1e9, silent_seconds=1e9)


def good(trial: int) -> list[LauncherEvent]:
    return [
        Said(trial, {"step": 0, "values": {"loss": 1.0 + trial}, "at": 2e9 + trial}),
        Said(trial, {"end": "returned"}),
        Exited(trial, 3e9, 0),
    ]


def test_every_planned_trial_runs_once_and_the_sampler_hears_of_each(play):
    snapshot, launcher, sampler, journal = play(a_search(trials=7, parallel=3), good)
    assert sorted(launcher.jobs) == list(range(7))
    assert sorted(sampler.told) == [(n, 1.0 + n, Outcome.FINISHED) for n in range(7)]
    assert all(isinstance(event, Event) for event in journal)
    assert snapshot.best is not None and snapshot.best.number == 0


def test_a_job_carries_fixed_and_drawn_values_and_its_own_seed(play):
    _, launcher, _, _ = play(a_search("returns", trials=2, seed=5), good)
    assert launcher.jobs[1].params == {"how": "returns", "x": 1.0}
    assert launcher.jobs[1].seed == trial_seed(5, 1) != trial_seed(5, 0)
    assert launcher.jobs[1].threads == 8


def test_limits_count_hours_on_the_clock_they_are_given(play):
    limits = Limits(trial_seconds=7200, silent_seconds=10**6, grace_seconds=1)
    snapshot, launcher, _, _ = play(a_search(limits=limits), lambda trial: [])
    assert snapshot.trials[0].reason is Reason.TIMEOUT
    assert launcher.stops == [(0, False)]


def test_who_does_not_end_when_asked_is_killed_after_the_grace(play):
    limits = Limits(trial_seconds=7200, silent_seconds=10**6, grace_seconds=1)
    snapshot, launcher, _, _ = play(a_search(limits=limits), lambda trial: [], ends_when_asked=False)
    assert launcher.stops[:2] == [(0, False), (0, True)]
    assert snapshot.trials[0].reason is Reason.TIMEOUT


def test_silence_is_counted_from_the_last_measurement(play):
    limits = Limits(trial_seconds=10**6, silent_seconds=1800)
    first = {"step": 0, "values": {"loss": 1.0}, "at": 2e9}
    snapshot, _, _, _ = play(a_search(limits=limits), lambda trial: [Said(trial, first)])
    assert (snapshot.trials[0].outcome, snapshot.trials[0].reason) == (Outcome.UNFINISHED, Reason.SILENT)


def test_nan_ends_a_trial_at_once_and_inf_does_not(play):
    def script(trial: int) -> list[LauncherEvent]:
        bad = "nan" if trial == 0 else "inf"
        later = [] if trial == 0 else [Said(trial, {"step": 1, "values": {"loss": 0.5}, "at": 2e9 + 1})]
        ending = [] if trial == 0 else [Said(trial, {"end": "returned"}), Exited(trial, 3e9, 0)]
        return [Said(trial, {"step": 0, "values": {"loss": bad}, "at": 2e9}), *later, *ending]

    snapshot, launcher, _, _ = play(a_search(trials=2), script)
    assert launcher.stops == [(0, False)]
    assert (snapshot.trials[0].outcome, snapshot.trials[0].reason) == (Outcome.NO_START, Reason.DIVERGED)
    assert (snapshot.trials[1].outcome, snapshot.trials[1].value) == (Outcome.FINISHED, 0.5)


def test_stop_starts_nothing_new_and_lets_the_running_end(play):
    snapshot, launcher, _, _ = play(a_search(trials=50, parallel=2), good, {1: [Request("stop")]})
    assert snapshot.stopping and len(launcher.jobs) == 2 and launcher.stops == []
    assert snapshot.counts.finished == 2 and snapshot.counts.waiting == 48


def test_stop_now_ends_the_running_too(play):
    snapshot, launcher, _, _ = play(
        a_search(trials=50, parallel=2), lambda trial: [], {1: [Request("stop_now")]}
    )
    assert {t.reason for t in snapshot.trials.values()} == {Reason.STOPPED}
    assert sorted(launcher.stops) == [(0, False), (1, False)]


def test_one_trial_can_be_ended_and_more_can_be_added(play):
    asked = {1: [Request("kill_trial", 0), Request("kill_trial", 99), Request("add_trials", 3)]}
    snapshot, launcher, _, _ = play(a_search(trials=1), lambda t: good(t) if t else [], asked)
    assert snapshot.trials[0].reason is Reason.STOPPED
    assert snapshot.counts.finished == 3 and snapshot.planned == 4 and launcher.stops == [(0, False)]


def test_a_trial_can_be_run_again_with_what_it_was_given(play):
    asked = {2: [Request("rerun", 0), Request("rerun", 77)]}
    snapshot, launcher, _, _ = play(a_search(trials=2), good, asked)
    assert snapshot.planned == 3 and snapshot.reruns == {2: 0}
    assert launcher.jobs[2].params == launcher.jobs[0].params == {"x": 0.0}
    assert launcher.jobs[2].seed == launcher.jobs[0].seed
    resumed, launcher, _, _ = play(a_search(trials=4), good, snapshot=snapshot)  # it is in the journal
    assert launcher.jobs[3].params == {"x": 3.0} and resumed.reruns == {2: 0}


def test_more_can_run_at_once(play):
    asked = {1: [Request("parallel", 3), Request("parallel", 0)], 6: [Request("stop_now")]}
    snapshot, launcher, _, _ = play(a_search(trials=9, limits=LONG), lambda trial: [], asked)
    assert sorted(launcher.jobs) == [0, 1, 2] and snapshot.search.parallel == 3


def test_fewer_run_at_once_as_soon_as_enough_have_ended(play):
    asked = {1: [Request("parallel", 1)], 4: [Request("kill_trial", 0)], 12: [Request("stop_now")]}
    snapshot, launcher, _, _ = play(a_search(trials=9, parallel=3, limits=LONG), lambda trial: [], asked)
    assert sorted(launcher.jobs) == [0, 1, 2]  # two still ran where one may
    assert snapshot.search.parallel == 1 and snapshot.counts.ended == 3


def test_the_space_can_change_while_it_runs_and_old_trials_keep_their_meaning(play):
    search = a_search(trials=6)
    asked = {
        4: [Request("change", settings=("x={ float = [20, 30] }",))],
        5: [Request("change", settings=("y=1",))],
    }
    snapshot, _, _, journal = play(search, good, asked)
    assert snapshot.search.space["x"].distribution.high == 30.0
    assert snapshot.earlier == (search.space,)
    assert snapshot.space["x"].distribution == Float(0.1, 30.0)  # what the axes show
    assert [e.search is not None for e in journal if e.kind == "study_changed"] == [True]
    assert snapshot.trials[0].params == {"x": 0.0}


def test_pause_holds_new_trials_until_it_is_lifted(play):
    asked = {1: [Request("pause")], 8: [Request("continue")]}
    snapshot, _, _, journal = play(a_search(trials=3), good, asked)
    changes = [e.paused for e in journal if e.kind == "study_changed"]
    assert changes == [True, False] and snapshot.counts.finished == 3


def test_numbers_already_taken_are_not_run_again(play):
    first, *_ = play(a_search(trials=3), good)
    resumed, launcher, _, _ = play(a_search(trials=5), good, snapshot=first)
    assert sorted(launcher.jobs) == [3, 4] and resumed.counts.finished == 5


class PrunesAll:
    """Wants every trial to end at its first loss."""

    def started(self, number: int) -> None: ...
    def measured(self, number: int, step: int, loss: float) -> str:
        return "pruned at step 0"

    def ended(self, trial) -> None: ...


def test_a_pruned_trial_is_asked_to_end_and_killed_after_the_grace(play):
    def script(trial: int) -> list[LauncherEvent]:
        return [Said(trial, {"step": 0, "values": {"loss": 1.0}, "at": 2e9})]

    limits = Limits(trial_seconds=1e9, silent_seconds=1e9, grace_seconds=1)
    asked, launcher, _, _ = play(a_search(trials=2, limits=limits), script, pruner=PrunesAll())
    assert launcher.stops == [(0, False), (1, False)]
    trial = asked.trials[0]
    assert (trial.outcome, trial.reason) == (Outcome.UNFINISHED, Reason.PRUNED)
    assert trial.message == "pruned at step 0"
    killed, launcher, _, _ = play(
        a_search(trials=1, limits=limits), script, pruner=PrunesAll(), ends_when_asked=False
    )
    assert launcher.stops[:2] == [(0, False), (0, True)]
    assert killed.trials[0].reason is Reason.PRUNED


def test_a_trial_that_has_ended_by_itself_is_not_pruned(play):
    """Its last loss and its last word are often read together."""
    snapshot, launcher, _, _ = play(a_search(trials=1), good, pruner=PrunesAll(), at_once=True)
    assert launcher.stops == [] and snapshot.trials[0].outcome is Outcome.FINISHED


def test_a_trial_that_never_got_a_process_is_recorded(play):
    def script(trial: int) -> list[LauncherEvent]:
        return [Exited(trial, 3e9, None, "launch", "could not start a process: no memory")]

    snapshot, *_ = play(a_search(trials=1), script)
    assert snapshot.trials[0].outcome is Outcome.NO_START
    assert snapshot.trials[0].message == "could not start a process: no memory"


def test_a_trial_for_which_there_is_no_room_is_started_when_there_is(play):
    """It is no trial that never started: nothing of it is written until it has a process, and no other is tried."""
    told: list[str] = []
    refusals = iter([NotNow(1, "No space left on device")] * 3)
    snapshot, _, _, journal = play(
        a_search(trials=4, parallel=2), good, refuse=lambda trial: next(refusals, None) if trial == 1 else None,
        hold=told.append,
    )  # fmt: skip
    assert snapshot.counts.finished == 4
    assert sorted(e.trial for e in journal if e.kind == "trial_started") == [0, 1, 2, 3]
    assert "trial 1 can't be started: No space left on device" in told and told[-1] == ""


@pytest.mark.parametrize("how", ["stop", "stop_now"])
def test_a_trial_that_waits_for_room_is_left_for_later_by_a_stop(play, how):
    asked = {9: [Request(how)]}
    snapshot, _, _, journal = play(
        a_search(trials=4), good, asked, refuse=lambda trial: NotNow(trial, "no room")
    )
    assert snapshot.stopping and snapshot.counts.waiting == 4
    assert [e.kind for e in journal] == ["study_changed"]


def test_a_stop_that_comes_before_the_refusal_leaves_the_trial_for_later_too(play):
    asked = {1: [Request("stop_now")]}
    snapshot, *_ = play(
        a_search(trials=4, parallel=2), lambda trial: [Said(trial, {"end": "returned"}), Exited(trial, 3e9, 0)],
        asked, ends_when_asked=False, refuse=lambda trial: NotNow(trial, "no room") if trial == 1 else None,
    )  # fmt: skip
    assert sorted(snapshot.trials) == [0] and snapshot.counts.waiting == 3


def test_a_person_may_give_up_a_trial_that_waits_for_room(play):
    asked = {9: [Request("kill_trial", 0)]}
    snapshot, *_ = play(a_search(trials=1), good, asked, refuse=lambda trial: NotNow(trial, "no room"))
    assert (snapshot.trials[0].outcome, snapshot.trials[0].reason) == (Outcome.NO_START, Reason.STOPPED)


@pytest.mark.parametrize(
    ("parallel", "gpus", "cores", "labels", "threads"),
    [
        (1, [], 2, ["cpu"], 2),
        (2, [], 2, ["cpu", "cpu"], 1),
        (8, [], 2, ["cpu"] * 8, 1),
        (3, [0, 2], 12, ["cuda:0", "cuda:2", "cuda:0"], 4),
    ],
)
def test_slots_go_round_the_gpus_and_share_the_cores(parallel, gpus, cores, labels, threads):
    slots = make_slots(parallel, gpus, cores)
    assert [slot.label for slot in slots] == labels
    assert {slot.threads for slot in slots} == {threads}
    for slot in slots:
        assert slot.environment["OMP_NUM_THREADS"] == str(threads)
        assert slot.environment["CUDA_VISIBLE_DEVICES"] == slot.label.removeprefix("cpu").removeprefix(
            "cuda:"
        )


def test_what_trials_use_is_written_down_now_and_then_where_the_search_asks(play):
    def slow(trial: int) -> list[LauncherEvent]:
        return [Said(trial, {"step": 0, "values": {"loss": 1.0}, "at": 2e9})]  # then an hour for each look

    limits = Limits(trial_seconds=3 * 3600.0, silent_seconds=1e9)
    for asked in (True, False):
        search = a_search(trials=1, limits=limits, system_metrics=asked)
        snapshot, _, _, journal = play(search, slow)
        samples = [event for event in journal if isinstance(event, TrialSampled)]
        assert bool(samples) is asked
        assert [sample.step for sample in samples] == list(range(len(samples)))
        trial = snapshot.trials[0]
        assert ("system/cpu_utilization_percentage" in trial.latest) is asked
        assert trial.steps == 1 and trial.last_step == 0, "a sample is no measurement of the trial's"
        assert trial.reason is Reason.TIMEOUT


def test_trials_share_a_gpu_as_far_as_the_search_says():
    search = Search("s", "t:t", "loss", Space(), trials_per_gpu=3)
    assert places(search, [0, 2]) == 6 and places(search, []) == 1
    assert places(replace(search, parallel=2), [0, 2]) == 2, "what is given is kept"
    slots = make_slots(6, [0, 2], 12, trials_per_gpu=3)
    assert Counter(slot.label for slot in slots) == {"cuda:0": 3, "cuda:2": 3}
    # JAX and TensorFlow take most of a GPU where they are not told to share it
    assert {slot.environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] for slot in slots} == {"0.25"}
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in make_slots(2, [0, 2], 12, trials_per_gpu=3)[0].environment
    with pytest.raises(ValueError, match=r"2 GPUs \(0,2\) take 6 at once"):
        make_slots(7, [0, 2], 12, trials_per_gpu=3)
    assert len(make_slots(7, [], 12, trials_per_gpu=3)) == 7, "without a GPU there is none to share"


@pytest.mark.parametrize("text", ["x", "0,", "97"])
def test_gpus_that_cannot_be_are_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=f"--gpus {text}: "):
        parse_gpus(text)


def test_none_means_the_cpu():
    assert parse_gpus("none") == []
    assert make_slots(1, [])[0].device == "cpu"
