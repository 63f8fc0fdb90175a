"""The state of a study at one moment, and the fold that builds it from events.

`fold(snapshot, event) -> snapshot` is the only interpretation of the journal. Engine, screen, reports and
the MLflow copy all use it, so they cannot disagree. Repeating an event changes nothing: a `TrialEnded` for
a trial that has ended, or a measurement already seen, is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ..search.search import RATE_FINDER, UNKNOWN, Search
from ..search.space import Space, widest
from .events import (
    Event,
    Params,
    StudyAsked,
    StudyChanged,
    StudyClosed,
    StudyOpened,
    TrialConfirmed,
    TrialEnded,
    TrialMeasured,
    TrialRetried,
    TrialSampled,
    TrialStarted,
)
from .outcomes import Outcome, Reason
from .training import twins


@dataclass(frozen=True)
class Trial:
    """All that is known of one trial."""

    number: int
    params: Params
    seed: int | None = 0
    device: str = "cpu"
    pid: int | None = None
    process_started: float | None = None
    host: str = ""  # "": the engine's
    source: str = ""  # the address of another study that ran it, before this one; "": this study ran it
    started_at: float = 0.0
    ended_at: float | None = None
    outcome: Outcome | None = None  # None while it runs
    reason: str | None = None  # a Reason, or a newer version's
    message: str = ""
    exit_code: int | None = None
    value: float | None = None  # the last finite objective, and none after nan
    nan_at: int | None = None  # the step of its first objective that was nan
    curve: tuple[tuple[int, float], ...] = ()  # (step, objective), non-finite readings included
    training: tuple[float, ...] = ()  # the objective on training data, where it is measured (training.py)
    latest: Mapping[str, float] = field(default_factory=dict)  # last reading of every measurement
    readings: tuple[Mapping[str, float], ...] = ()  # every measurement, in a rate finder's study only
    steps: int = 0  # measurements taken
    last_step: int | None = None
    measured_at: float | None = None
    attempts: tuple[tuple[float, str, str], ...] = ()  # (when, reason, message) of attempts before this one

    confirmed: tuple[float, ...] = ()  # values of the runs with new seeds that finished (`tuner confirm`)
    confirming_runs: int = 0  # ... of so many

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.outcome is None

    @property
    def failed(self) -> bool:
        """Whether it has ended and did not finish."""
        return self.outcome in (Outcome.UNFINISHED, Outcome.NO_START)

    @property
    def not_a_number(self) -> bool:
        """Whether an objective was nan, or the last one infinite."""
        return self.nan_at is not None or (bool(self.curve) and not math.isfinite(self.curve[-1][1]))

    @property
    def diverged(self) -> bool:
        """Whether it went out of bounds: into nan or infinity, or by the target's own word at a finite loss."""
        return self.not_a_number or self.reason is Reason.DIVERGED

    def seconds(self, now: float) -> float:
        """How long it has run, or ran."""
        return max(0.0, (self.ended_at if self.ended_at is not None else now) - self.started_at)


@dataclass(frozen=True)
class Counts:
    """How many trials there are of each outcome: of this study's own, with those from before it counted apart."""

    planned: int = 0
    running: int = 0
    finished: int = 0
    unfinished: int = 0
    no_start: int = 0
    before: int = 0  # trials that another study ran, however they ended

    @property
    def tally(self) -> dict[Outcome | None, int]:
        """By outcome, in the order they are shown; None: running."""
        return {
            Outcome.FINISHED: self.finished,
            Outcome.UNFINISHED: self.unfinished,
            Outcome.NO_START: self.no_start,
            None: self.running,
        }

    @property
    def ended(self) -> int:
        """Trials that have ended, however."""
        return self.finished + self.unfinished + self.no_start

    @property
    def waiting(self) -> int:
        """Planned trials that have not started."""
        return max(0, self.planned - self.ended - self.running)


@dataclass(frozen=True)
class Snapshot:
    """All that is known of a study at one moment."""

    study: str = ""
    search: Search = UNKNOWN
    planned: int = 0  # trials in all: what the search asked for, and those added since; none from before
    trials: Mapping[int, Trial] = field(default_factory=dict)  # number -> Trial
    opened_at: float | None = None
    closed_at: float | None = None  # None while an engine has it, or after one was killed
    closed_why: str = ""  # completed, stopped or failed; "" after a kill
    closed_message: str = ""
    paused: bool = False
    stopping: bool = False
    pid: int | None = None
    host: str = ""
    git_commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)  # of Python and packages where the engine ran
    format: int = 0  # of the journal
    earlier: tuple[Space, ...] = ()  # what the space was before it was changed, the first first
    reruns: Mapping[int, int] = field(default_factory=dict)  # a trial, to come or not -> the one it repeats
    version: int = 0  # events folded; equal versions of one study are equal snapshots
    # Where these are only some of a study's trials: the study with all of them, and the filter they passed.
    part_of: Snapshot | None = field(default=None, repr=False, compare=False)
    where: str = ""

    @property
    def objective(self) -> str:
        """The measurement that is the loss."""
        return self.search.objective

    @cached_property
    def space(self) -> Space:
        """Every hyperparameter that the study has had, over all it has ever been drawn from."""
        return widest((*self.earlier, self.search.space)) if self.earlier else self.search.space

    @property
    def open_ended(self) -> bool:
        """Whether nobody has said how many trials there will be: `planned` is then how many there are."""
        return self.search.trials == 0

    @property
    def direction(self) -> str:
        """`minimize` or `maximize`."""
        return self.search.direction

    @cached_property
    def counts(self) -> Counts:
        """The trials counted by outcome. Looks at every trial."""
        tally = {None: 0, Outcome.FINISHED: 0, Outcome.UNFINISHED: 0, Outcome.NO_START: 0}
        for trial in self.own.trials.values():
            tally[trial.outcome] += 1
        return Counts(
            planned=self.planned,
            running=tally[None],
            finished=tally[Outcome.FINISHED],
            unfinished=tally[Outcome.UNFINISHED],
            no_start=tally[Outcome.NO_START],
            before=self.before,
        )

    @cached_property
    def before(self) -> int:
        """How many trials are from before this study: another one ran them. Their numbers come first."""
        return sum(bool(trial.source) for trial in self.trials.values())

    @property
    def next_number(self) -> int:
        """The number behind all planned trials: the next one to be added has it."""
        return self.before + self.planned

    @cached_property
    def own(self) -> Snapshot:
        """The study without the trials from before it."""
        if not self.before:
            return self
        own = {number: trial for number, trial in self.trials.items() if not trial.source}
        return replace(self, trials=MappingProxyType(own))

    @cached_property
    def best(self) -> Trial | None:
        """The finished trial with the best value: an unreliable result is never called best."""
        finished = [t for t in self.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None]
        return min(finished, key=self.rank, default=None)

    @cached_property
    def ends(self) -> tuple[object, ...]:
        """Equal for snapshots of one study whose plan and ended trials are the same, whatever runs meanwhile."""
        newest = max((t.ended_at for t in self.trials.values() if t.ended_at is not None), default=None)
        return self.planned, self.counts.ended, newest, len(self.earlier), self.where

    @cached_property
    def confirmed(self) -> tuple[Trial, ...]:
        """The trials that `tuner confirm` has run again."""
        return tuple(trial for trial in self.trials.values() if trial.confirming_runs)

    @cached_property
    def retriable(self) -> tuple[int, ...]:
        """Trials that were interrupted with their engine, and which the next engine tries again (`retries`)."""
        return tuple(
            sorted(
                number
                for number, trial in self.own.trials.items()
                if trial.reason is Reason.INTERRUPTED and len(trial.attempts) < self.search.retries
            )
        )

    def rank(self, trial: Trial) -> tuple[float, int]:
        """Sort key: better first, trials without a value last, earlier first among equals."""
        if trial.value is None:
            return (math.inf, trial.number)
        return (trial.value if self.direction == "minimize" else -trial.value, trial.number)


def fold(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot after one more event."""
    return fold_all(snapshot, (event,))


# What a snapshot computes once and a measurement can't change: only trials that have ended, or not, count.
_OF_THE_ENDED = ("before", "best", "confirmed", "counts", "ends", "space")


def fold_all(snapshot: Snapshot, events: Iterable[Event]) -> Snapshot:
    """Fold many events at once: the trial table is copied once, and a trial's curve grown once, per call."""
    trials = _copy(snapshot.trials)
    study: dict[str, Any] = {}
    readings: dict[int, list[TrialMeasured]] = {}
    search, earlier, reruns = snapshot.search, snapshot.earlier, snapshot.reruns
    count, measured_only = 0, True
    for event in events:
        count += 1
        measured_only = measured_only and isinstance(event, TrialMeasured)
        match event:
            case TrialMeasured() if event.trial in trials:
                readings.setdefault(event.trial, []).append(event)
            case TrialStarted():
                known = trials.get(event.trial)
                if known is not None:
                    # An Optuna objective may draw its parameters one by one, while it runs.
                    if known.running and len(event.params) > len(known.params):
                        trials[event.trial] = replace(known, params=event.params)
                    elif known.running and known.attempts and event.at > known.attempts[-1][0]:
                        trials[event.trial] = replace(
                            known, device=event.device, pid=event.pid, process_started=event.process_started,
                            host=event.host, started_at=event.at,
                        )  # fmt: skip
                else:
                    trials[event.trial] = Trial(
                        number=event.trial,
                        params=event.params,
                        seed=event.seed,
                        device=event.device,
                        pid=event.pid,
                        process_started=event.process_started,
                        host=event.host,
                        source=event.source,
                        started_at=event.at,
                    )
            case TrialSampled():
                if (trial := trials.get(event.trial)) and trial.running:
                    latest = MappingProxyType({**trial.latest, **event.values})
                    trials[event.trial] = replace(trial, latest=latest)
            case TrialRetried():
                if (trial := trials.get(event.trial)) and (trial.running or reopens(event, trial)):
                    trial = _measure(trial, readings.pop(event.trial, ()), search)
                    trials[event.trial] = _retry(trial, event)
            case TrialEnded():
                if trial := trials.get(event.trial):
                    trial = _measure(trial, readings.pop(event.trial, ()), search)
                    trials[event.trial] = _end(trial, event)
            case TrialConfirmed():
                if trial := trials.get(event.trial):
                    trials[event.trial] = replace(trial, confirmed=event.losses, confirming_runs=event.runs)
            case StudyOpened():
                earlier = _earlier(earlier, search, event.search)
                search = event.search
                study |= {
                    "study": event.study, "search": event.search, "planned": event.search.trials,
                    "format": event.format, "pid": event.pid, "host": event.host, "git_commit": event.git_commit,
                    "versions": event.versions,
                    "closed_at": None, "closed_why": "", "closed_message": "",
                    "paused": False, "stopping": False,
                }  # fmt: skip
                study.setdefault("opened_at", snapshot.opened_at or event.at)
            case StudyAsked():
                earlier = _earlier(earlier, search, event.search)
                study |= {
                    "study": event.study, "search": event.search, "planned": event.search.trials,
                    "format": event.format,
                }  # fmt: skip
                search = event.search
            case StudyChanged():
                changes = {"planned": event.trials, "paused": event.paused, "stopping": event.stopping}
                study |= {key: value for key, value in changes.items() if value is not None}
                if event.search is not None:
                    earlier = _earlier(earlier, search, event.search)
                    study["search"] = search = event.search
                if event.reruns:
                    reruns = {**reruns, **{int(number): of for number, of in event.reruns.items()}}
            case StudyClosed():
                study |= {"closed_at": event.at, "closed_why": event.why, "closed_message": event.message}
    for number, measured in readings.items():
        if trial := trials.get(number):
            trials[number] = _measure(trial, measured, search)
    after = replace(
        snapshot, **study, trials=MappingProxyType(trials), version=snapshot.version + count, earlier=earlier,
        reruns=reruns,
    )  # fmt: skip
    if measured_only:
        known = vars(snapshot)
        vars(after).update({name: known[name] for name in _OF_THE_ENDED if name in known})
    return after


def _copy(trials: Mapping[int, Trial]) -> dict[int, Trial]:
    """A dict of its own. `dict` asks a proxy for one entry after the other, which took a millisecond for each event
    of a study of 5,000 trials; the proxy's own copy takes a sixteenth of it."""
    return trials.copy() if isinstance(trials, MappingProxyType) else dict(trials)


def _earlier(known: tuple[Space, ...], before: Search, now: Search) -> tuple[Space, ...]:
    """The spaces before this one, each once."""
    if not len(before.space) or before.space == now.space or before.space in known:
        return known
    return (*known, before.space)


def _measure(trial: Trial, measured: Iterable[TrialMeasured], search: Search) -> Trial:
    objective, keeps_all = search.objective, search.kind == RATE_FINDER
    of_training = twins(objective)
    readings = list(trial.readings)
    curve, training = list(trial.curve), list(trial.training)
    latest = dict(trial.latest)
    value, steps, at, last_step = trial.value, trial.steps, trial.measured_at, trial.last_step
    nan_at = trial.nan_at
    ended = trial.ended_at is not None
    for event in measured:
        if ended or (at is not None and event.at <= at):
            continue  # a repeat of what is known: `at` grows strictly within a trial
        if objective in event.values:
            loss = event.values[objective]
            curve.append((event.step, loss))
            if math.isnan(loss) and nan_at is None:
                nan_at = event.step
            # What comes after nan was measured by a model that is broken, and only if the engine was slow.
            value = loss if math.isfinite(loss) and nan_at is None else value
        for name in of_training:
            if name in event.values:
                training.append(event.values[name])
                break
        latest |= event.values
        if keeps_all:
            readings.append(event.values)
        steps, at, last_step = steps + 1, event.at, event.step
    return replace(
        trial, curve=tuple(curve), latest=MappingProxyType(latest), value=value, steps=steps,
        measured_at=at, last_step=last_step, nan_at=nan_at, readings=tuple(readings), training=tuple(training),
    )  # fmt: skip


def _retry(trial: Trial, event: TrialRetried) -> Trial:
    """The trial before its next attempt: nothing is measured, and what the last one measured no longer counts."""
    if trial.attempts and event.at <= trial.attempts[-1][0]:
        return trial  # a repeat
    return replace(
        trial, pid=None, process_started=None, started_at=event.at, value=None, nan_at=None, curve=(), training=(),
        latest=MappingProxyType({}), readings=(), steps=0, last_step=None, measured_at=event.at,
        ended_at=None, outcome=None, reason=None, message="", exit_code=None,
        attempts=(*trial.attempts, (event.at, event.reason or "", event.message)),
    )  # fmt: skip


def reopens(event: TrialRetried, trial: Trial) -> bool:
    """Whether a trial that has ended runs again from here: it was interrupted with its engine, and nothing else is
    tried again after its end."""
    return (
        trial.reason is Reason.INTERRUPTED
        and event.reason is Reason.INTERRUPTED
        and event.at > (trial.ended_at or 0.0)
    )


def _end(trial: Trial, event: TrialEnded) -> Trial:
    if trial.outcome is not None or (trial.attempts and event.at <= trial.attempts[-1][0]):
        return trial  # it has ended, or this is a repeat of how an attempt before this one did
    return replace(
        trial, ended_at=event.at, outcome=event.outcome, reason=event.reason, message=event.message,
        exit_code=event.exit_code,
    )  # fmt: skip
