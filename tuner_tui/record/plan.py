"""Turns events into a plan of what to write to which MLflow run. Pure: events in, a plan out.

However the journal is cut into batches, the plans together write the same things: each is derived from the
events and the fold up to them, and from nothing else. That is what makes publishing repeatable.
"""

from __future__ import annotations

import getpass
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from types import MappingProxyType
from typing import NamedTuple

from ..search.options import with_options
from ..study.events import (
    Event,
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
from ..study.outcomes import ENDED_BY_TUNER, Outcome, Reason
from ..study.snapshot import Snapshot, Trial, fold_all, reopens
from .names import mlflow_name, param_value, renamed, tag_value

STUDY_STATUS = {"completed": "FINISHED", "failed": "FAILED"}  # every other close is somebody's stop
VALUE = "tuner.value"  # metric of a trial's run, and tag: its value, the last finite objective
BEST = (
    "best."  # tags of the parent run: the parameters of the best trial. (Params could not change any more.)
)
# Tags of how a trial ended, for one that runs again. Empty: MLflow has no call that removes a tag among others.
_NOT_ENDED = dict.fromkeys(
    ("tuner.outcome", "tuner.reason", "tuner.message", "tuner.exit_code", VALUE), ""
) | {"mlflow.note.content": "running again"}
_ODD_SHOWN = 8  # non-finite readings named in a tag; a diverged trial may have thousands


class Reading(NamedTuple):
    """One row of a metric's history."""

    key: str
    value: float  # finite or nan: SQLite turns inf into the largest float there is
    ms: int  # since the epoch
    step: int


@dataclass
class RunWrite:
    """What one run gets from a batch. `begins` is its start in ms when the batch holds it, else None."""

    trial: int
    begins: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Reading] = field(default_factory=list)
    reopens: bool = False  # it had ended, and runs again
    ends: tuple[str, int] | None = None  # (MLflow status, ms)


@dataclass
class StudyWrite:
    """What the parent run gets. `status` is the last one of the batch; None: as it was."""

    begins: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Reading] = field(default_factory=list)
    status: str | None = None
    at: int = 0  # ms of the batch's last event

    def add(self, later: StudyWrite) -> None:
        """Write, after this, what `later` says."""
        self.begins = self.begins if self.begins is not None else later.begins
        self.tags |= later.tags
        self.metrics += later.metrics
        self.status = later.status or self.status
        self.at = later.at or self.at


@dataclass(frozen=True)
class Plan:
    """What has to be written to MLflow for some events of the journal."""

    study: StudyWrite
    runs: list[RunWrite]  # in this order; one that ends and is tried again has two
    uploads: list[str]  # files owed from now on: trial numbers, "search", "summary"

    def add(self, later: Plan) -> None:
        """Write, after this, what `later` says."""
        self.study.add(later.study)
        self.runs.extend(later.runs)
        self.uploads.extend(later.uploads)


@dataclass(frozen=True)
class Odd:
    """The readings of one trial that are no numbers."""

    shown: tuple[str, ...] = ()
    count: int = 0

    def add(self, name: str, value: float, step: int) -> Odd:
        """With one more reading that is not a number."""
        shown = (
            self.shown if len(self.shown) >= _ODD_SHOWN else (*self.shown, f"{name}: {value} at step {step}")
        )
        return Odd(shown, self.count + 1)

    def __str__(self) -> str:
        more = self.count - len(self.shown)
        return "; ".join(self.shown) + (f"; and {more} more" if more else "")


@dataclass(frozen=True)
class Story:
    """All that was told so far: the fold, and the little a plan needs beside it."""

    snapshot: Snapshot
    odd: Mapping[int, Odd] = field(default_factory=dict)  # of running trials
    first_at: float | None = None  # of the journal's first event: with the name, the study's identity

    def tell(self, events: Iterable[Event]) -> tuple[Story, Plan]:
        """What comes next, and what MLflow has to be told of it."""
        story, plan = self, Plan(StudyWrite(), [], [])
        for part in _parts(events):
            story, more = story._tell(part)
            plan.add(more)
        return story, plan

    def _tell(self, events: list[Event]) -> tuple[Story, Plan]:
        before, after = self.snapshot, fold_all(self.snapshot, events)
        plan = Plan(StudyWrite(), [], [])
        odd = dict(self.odd)
        runs: dict[int, RunWrite] = {}
        taken = {n: t.measured_at or -math.inf for n, t in before.trials.items() if t.running}
        retried = {n: before.trials[n].attempts[-1][0] for n in taken if before.trials[n].attempts}
        commit = before.git_commit
        tally = _Tally(before)
        for event in events:
            plan.study.at = _ms(event.at)
            match event:
                case TrialMeasured():
                    if event.at <= taken.get(event.trial, math.inf):  # a repeat, after its end, never begun
                        continue
                    taken[event.trial] = event.at
                    write = runs.setdefault(event.trial, RunWrite(event.trial))
                    write.tags |= renamed(event.values)
                    for name, value in event.values.items():
                        finite = math.isfinite(value)
                        reading = Reading(
                            mlflow_name(name), value if finite else math.nan, _ms(event.at), event.step
                        )
                        write.metrics.append(reading)
                        if not finite:
                            odd[event.trial] = odd.get(event.trial, Odd()).add(name, value, event.step)
                            write.tags["tuner.not_finite"] = tag_value(odd[event.trial])
                case TrialSampled():
                    if event.trial in taken:
                        write = runs.setdefault(event.trial, RunWrite(event.trial))
                        write.metrics += [
                            Reading(mlflow_name(name), value, _ms(event.at), event.step)
                            for name, value in event.values.items()
                        ]
                case TrialStarted() if event.source:
                    continue  # the study that ran it has recorded it: MLflow gets no run, and nothing else, of it
                case TrialStarted():
                    if event.trial in before.trials or event.trial in runs:
                        if event.trial in taken:  # it has drawn another hyperparameter while it runs
                            write = runs.setdefault(event.trial, RunWrite(event.trial))
                            write.params |= _params(event)
                        continue
                    taken[event.trial] = -math.inf
                    runs[event.trial] = _begin(event, after, commit)
                case TrialRetried():
                    known = before.trials.get(event.trial)
                    ended = known is not None and event.trial not in taken and reopens(event, known)
                    if not ended and event.at <= taken.get(event.trial, math.inf):  # a repeat
                        continue
                    taken[event.trial] = retried[event.trial] = event.at
                    write = runs.setdefault(event.trial, RunWrite(event.trial))
                    if known is not None and ended:
                        write.reopens = True
                        write.tags |= _NOT_ENDED
                        plan.study.metrics += tally.reopen(known, _ms(event.at))
                    why = tag_value(f"{event.reason}: {event.message}")
                    write.tags |= {f"tuner.attempt.{event.at:.3f}": why}
                case TrialEnded():
                    if event.trial not in taken or event.at <= retried.get(
                        event.trial, -math.inf
                    ):  # a repeat
                        continue
                    del taken[event.trial]
                    trial = after.trials[event.trial]
                    write = runs.setdefault(event.trial, RunWrite(event.trial))
                    write.tags |= _end_tags(trial, after.objective)
                    if (
                        trial.value is not None
                    ):  # a number, where the tag of this name is a text: it can be sorted by
                        write.metrics.append(Reading(VALUE, trial.value, _ms(event.at), 0))
                    elif any(reason == Reason.INTERRUPTED for _, reason, _ in trial.attempts):  # that had one
                        write.metrics.append(Reading(VALUE, math.nan, _ms(event.at), 0))
                    write.ends = (mlflow_status(event.outcome, event.reason), _ms(event.at))
                    odd.pop(event.trial, None)
                    plan.uploads.append(str(event.trial))
                    plan.study.metrics += tally.end(trial, _ms(event.at))
                case TrialConfirmed():
                    trial = after.trials.get(event.trial)
                    if trial is not None and not trial.source:
                        write = runs.setdefault(event.trial, RunWrite(event.trial))
                        write.tags |= _confirmed_tags(event)
                case StudyOpened():
                    commit = event.git_commit
                    if self.first_at is None and plan.study.begins is None:
                        plan.study.begins = _ms(event.at)
                        plan.study.metrics += tally.zeros(_ms(event.at))
                    plan.study.tags |= _study_tags(event)
                    plan.study.status = "RUNNING"
                    plan.uploads.append("search")
                case StudyChanged():
                    if event.trials is not None:
                        plan.study.tags["tuner.planned"] = str(event.trials)
                case StudyClosed():
                    plan.study.status = STUDY_STATUS.get(event.why, "KILLED")
                    plan.study.tags |= closing_tags(after, event.why, event.message)
                    plan.uploads.append("summary")
        plan.runs.extend(runs.values())
        if tally.changed and (best := after.best):
            plan.study.tags |= {"tuner.best_trial": str(best.number), "tuner.best_value": repr(best.value)}
            # What this trial has not, and an earlier best one had, must not be left standing: every name is told.
            params = dict.fromkeys(after.space.names, "") | {
                k: param_value(v) for k, v in best.params.items()
            }
            plan.study.tags |= {mlflow_name(f"{BEST}{k}"): tag_value(text) for k, text in params.items()}
        first_at = self.first_at if self.first_at is not None or not events else events[0].at
        return Story(after, MappingProxyType(odd), first_at), plan


def _parts(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The events, cut before each trial that runs again after its end: within a part, a trial has one end at most."""
    part: list[Event] = []
    for event in events:
        if isinstance(event, TrialRetried) and event.reason is Reason.INTERRUPTED and part:
            yield part
            part = []
        part.append(event)
    yield part


class _Tally:
    """The parent's metrics, one row for each trial that ends: the count of its kind, and a new best. Of a trial that
    runs again there is a row too; each row has a step of its own."""

    def __init__(self, before: Snapshot) -> None:
        self._ended = {outcome: n for outcome, n in before.counts.tally.items() if outcome is not None}
        self._reopened = sum(
            reason == Reason.INTERRUPTED for t in before.trials.values() for _, reason, _ in t.attempts
        )
        self._best = before.best
        self._rank = before.rank
        self.changed = False

    def zeros(self, ms: int) -> list[Reading]:
        return [Reading(outcome.value, 0.0, ms, 0) for outcome in Outcome]

    def end(self, trial: Trial, ms: int) -> list[Reading]:
        assert trial.outcome is not None
        self.changed = True
        self._ended[trial.outcome] += 1
        step = self._step()
        rows = [Reading(trial.outcome.value, float(self._ended[trial.outcome]), ms, step)]
        if (
            trial.outcome is Outcome.FINISHED
            and trial.value is not None
            and (self._best is None or self._rank(trial) < self._rank(self._best))
        ):
            self._best = trial
            rows.append(Reading("best", trial.value, ms, step))
        return rows

    def reopen(self, trial: Trial, ms: int) -> list[Reading]:
        assert trial.outcome is not None
        self._ended[trial.outcome] -= 1
        self._reopened += 1
        return [Reading(trial.outcome.value, float(self._ended[trial.outcome]), ms, self._step())]

    def _step(self) -> int:
        return (
            sum(self._ended.values()) + 2 * self._reopened
        )  # one for each end, and one for each that was undone


def _begin(event: TrialStarted, after: Snapshot, commit: str | None) -> RunWrite:
    tags = {
        "mlflow.runName": f"trial {event.trial}",
        "tuner.study": after.study,
        "tuner.trial": str(event.trial),
        "tuner.seed": str(event.seed),
        "tuner.device": event.device,
    } | renamed(event.params)
    return RunWrite(
        event.trial, begins=_ms(event.at), tags=tags | _commit_tags(commit) | _origin_tags(),
        params=_params(event),
    )  # fmt: skip


def _params(event: TrialStarted) -> dict[str, str]:
    return {mlflow_name(name): param_value(value) for name, value in event.params.items()}


def _end_tags(trial: Trial, objective: str) -> dict[str, str]:
    assert trial.outcome is not None
    value = "" if trial.value is None else f"; last {objective} {trial.value:.6g}"
    sentence = f"{trial.outcome}" + (f" ({trial.reason})" if trial.reason else "") + value
    tags = {
        "tuner.outcome": str(trial.outcome),
        "tuner.steps": str(trial.steps),
        "mlflow.note.content": tag_value(f"{sentence}. {trial.message}" if trial.message else sentence),
    }
    if trial.reason:
        tags["tuner.reason"] = str(trial.reason)
    if trial.message:
        tags["tuner.message"] = tag_value(trial.message)
    if trial.value is not None:
        tags[VALUE] = repr(trial.value)
    if trial.exit_code is not None:
        tags["tuner.exit_code"] = str(trial.exit_code)
    return tags


def _confirmed_tags(event: TrialConfirmed) -> dict[str, str]:
    """Every tag each time: a later confirmation leaves nothing of an earlier one."""
    return {
        "tuner.confirmed_by": tag_value(event.study),
        "tuner.confirmed_runs": f"{len(event.losses)} of {event.runs}",
        "tuner.confirmed_mean": repr(fmean(event.losses)) if event.losses else "",
    }


def mlflow_status(outcome: Outcome, reason: str | None) -> str:
    """The MLflow run status that tells the same truth."""
    if outcome is Outcome.FINISHED:
        return "FINISHED"
    if outcome is Outcome.UNFINISHED and reason in ENDED_BY_TUNER:
        return "KILLED"
    return "FAILED"


def _study_tags(event: StudyOpened) -> dict[str, str]:
    tags = {
        "tuner.study": event.study,
        "tuner.objective": event.search.objective,
        "tuner.direction": event.search.direction,
        "tuner.planned": str(event.search.trials),
        "tuner.seed": str(event.search.seed),
        "tuner.host": event.host,
        "tuner.sampler": with_options(event.search.sampler, event.search.sampler_options),
        "tuner.pruner": with_options(event.search.pruner, event.search.pruner_options),
        "tuner.target": event.search.runs,
        "tuner.state": "running",
        "mlflow.note.content": "running",
    }
    tags |= {f"tuner.version.{name}": version for name, version in event.versions.items()}
    named = {mlflow_name(name): tag_value(value) for name, value in tags.items() if value}
    return named | _commit_tags(event.git_commit) | _origin_tags()


def closing_tags(snapshot: Snapshot, why: str, message: str = "") -> dict[str, str]:
    """What the parent run says when nobody runs the study any more."""
    counts = snapshot.counts
    said = f"{why}: {counts.finished} finished, {counts.unfinished} unfinished, {counts.no_start} no start"
    if counts.waiting:
        said += f", {counts.waiting} not begun"
    if counts.before:
        said += f", {counts.before} from before"
    if best := snapshot.best:
        said += f"; best {snapshot.objective} {best.value:.6g} in trial {best.number}"
    said += f". {message}" if message else "."
    return {"tuner.state": tag_value(why), "mlflow.note.content": tag_value(said)}


def _commit_tags(commit: str | None) -> dict[str, str]:
    if not commit:
        return {}
    # MLflow links this one to the repository, where no "-dirty" can be found.
    return {"mlflow.source.git.commit": commit.removesuffix("-dirty"), "tuner.git_commit": commit}


def _origin_tags() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "tuner", "mlflow.source.type": "LOCAL"}


def _ms(at: float) -> int:
    return round(at * 1000)


def before_anything(study: str) -> Story:
    """The story of a study of which nothing has been told yet."""
    return Story(replace(Snapshot(), study=study))
