"""The runs of an MLflow experiment as a study, read-only, also while other programs add runs to it.

`mlflow:EXPERIMENT` looks in the store that --tracking-uri or MLFLOW_TRACKING_URI names, else in `mlruns/mlflow.db`
and `mlflow.db`; `mlflow:sqlite:///x.db EXPERIMENT` and `mlflow:http://host:5000 EXPERIMENT` name it themselves. A run
is a trial, and ends as follows:

    FINISHED   finished, with its last value of the objective; diverged where that is nan or infinite;
               never started (exit) without the objective
    FAILED     unfinished (exception); never started without the objective
    KILLED     unfinished (stopped); never started without the objective
    RUNNING    running from its first objective on, waiting before; interrupted where its process must be gone: see
               `_abandoned`

Runs that hold other runs together (nested runs: a parent whose children have the objective) are no trials. A study
that tuner published is read back as it was. MLflow does not know what was varied: `search/infer.py` infers it from
the values, unless a search file says it. Nothing is written: a SQLite file is opened read-only.
"""

from __future__ import annotations

import math
import time
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..search.file import load_search
from ..search.infer import infer, read_value
from ..search.problems import SearchError, nearest
from ..search.search import UNKNOWN, Search
from ..search.space import Choice, Distribution, Float, Int, Space
from ..study.events import (
    Event,
    StudyAsked,
    StudyChanged,
    StudyOpened,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    decode_end,
)
from ..study.outcomes import Outcome, Reason, judge
from ..study.text import one_line
from .mlflow_store import Experiment, Reading, Run, Store, stores
from .source import Batch, Extent, Source, SourceError, Wanted

BATCH = 2000  # events; folding so many takes some 10 ms
# Up to so many runs the objective's whole history is read, one call each: 2 ms from a file, 10 ms from a server.
# Of the runs of a larger experiment it is read for those that run or end in nan; the others show their last value.
HISTORIES = 300
QUIET_S = 600.0  # a run whose parent has ended and that logged nothing for so long is over
ABANDONED_S = 86_400.0  # ... and any that logged nothing for a day
SKEW_S = 600.0  # by how much clocks of machines that log to one server may differ
SKEW_POLLS = (
    10  # a run that ended by such a clock is looked for once in so many times: there may be hundreds to read
)
_TICK_S = 1e-6  # between two readings of one trial with one time: MLflow keeps milliseconds
_LISTED = 12  # metrics or experiments that a message names


def studies(place: str, wanted: Wanted) -> Sequence[Source]:
    """The experiments of a store, or one experiment and tuner's own studies in it. Raises SourceError."""
    if "://" in place or place.startswith("databricks"):
        if wanted.tracking_uri:
            raise SourceError(
                f"--tracking-uri: mlflow:{place} names a store already; leave one of the two out"
            )
        store = Store(place)
        return [MlflowSource(store, e, wanted) for e in store.experiments()]
    there = [Store(uri) for uri in stores(wanted)]
    if not place:
        return [MlflowSource(store, e, wanted) for store in there for e in store.experiments()]
    for store in there:
        if experiment := store.experiment(place):
            whole = MlflowSource(store, experiment, wanted)
            ours = store.studies_of_tuner(experiment)
            return [whole, *(_part(whole, run) for run in ours if run.name != experiment.name)]
    names = [e.name for store in there for e in store.experiments()]
    remedy = nearest(place, names) or f"; there is {', '.join(names[:_LISTED]) or 'none'}"
    where = " nor in ".join(store.shown for store in there)
    raise SourceError(f"no experiment {place!r} in {where}{remedy}")


def _part(source: MlflowSource, parent: Run) -> MlflowSource:
    """The part of an experiment that is one study of tuner."""
    return MlflowSource(source.store, source.experiment, source.wanted, parent)


@dataclass(frozen=True)
class _Told:
    """What was told of one run."""

    number: int
    params: int = 0
    readings: int = 0  # of the objective
    last: Reading | None = None
    finite: bool = False  # whether one of them was
    nan: bool = False  # whether one was nan
    at: float = 0.0  # of the last event
    ended: bool = False


@dataclass(frozen=True)
class _Place:
    """What was told of each run, by id, and of the study."""

    told: Mapping[str, _Told] = field(default_factory=dict)
    search: Search | None = None
    planned: int = -1
    through: bool = False  # whether all was told


class MlflowSource(Source):
    """One experiment, or the runs under one parent of it."""

    def __init__(
        self, store: Store, experiment: Experiment, wanted: Wanted, parent: Run | None = None
    ) -> None:
        self.store, self.experiment, self.wanted = store, experiment, wanted
        self._parent = parent
        self._runs: dict[str, Run] = {}  # all there are, by id, in the order of their start
        self._read = False  # whether all were read once
        self._question: Search | None = None  # without its space, unless a file gave it
        self._given: Space | None = None
        self._polls = 0
        self._inferred = (0, 0), infer(())  # of how many runs and params, and what
        self._ids: dict[int, str] = {}  # trial -> run
        self._extent = Extent()

    @property
    def name(self) -> str:
        return self._parent.name if self._parent else self.experiment.name

    @property
    def address(self) -> str:
        inside = f" {self._parent.name}" if self._parent else ""
        return f"mlflow:{self.store.shown} {self.experiment.name}{inside}"

    def extent(self) -> Extent:
        return self._extent

    def events(self, since: Any = None) -> Batch:
        """What changed in the experiment since `since`, at most about BATCH events. Raises SourceError."""
        place: _Place = since or _Place()
        # While there is something left to tell, nothing new is read.
        if not self._read or place.through:
            changed = self._refresh() or not place.through
            # What MLflow calls RUNNING may have to be given up with nothing changed there.
            if not changed and not any(self._overdue(run, place) for run in self._runs.values()):
                return Batch((), place)
        question = self._ask()
        trials = self._trials(question.objective)
        search = self._search(question, trials)
        shown = [run for run in trials if not run.running or question.objective in run.metrics]
        events: list[Event] = []
        if search != place.search:
            began = min((run.began for run in shown), default=0.0)
            if shown:
                events.append(StudyOpened(began, self.name, search, pid=0))
            else:
                events.append(StudyAsked(0.0, self.name, search))
        if events or place.planned != len(trials):
            events.append(StudyChanged(0.0, len(trials)))
        told = dict(place.told)
        numbers = _numbers(shown, told)
        every = len(shown) <= HISTORIES
        for run in shown:
            known = told.get(run.id) or _Told(numbers[run.id])
            if known.ended:
                continue
            news, told[run.id] = self._news(run, known, search, every or run.running)
            self._ids[known.number] = run.id
            events += news
            if len(events) >= BATCH:
                break
        else:
            place = replace(place, through=True)
        if events:
            touched = max(event.at for event in events)
            self._extent = replace(self._extent, touched=max(self._extent.touched, touched))
        return Batch(events, _Place(told, search, len(trials), place.through))

    def measurements(self, trial: int) -> Sequence[TrialMeasured]:
        """The whole history of every metric of a run: one call to MLflow each."""
        run = self._runs.get(self._ids.get(trial, ""))
        if run is None:
            return ()
        try:
            read = [(name, r) for name in run.metrics for r in self.store.history(run.id, name)]
        except SourceError:
            return ()  # MLflow is away; the screen says so of the study
        return [
            TrialMeasured(r.at, trial, r.step, {name: r.value})
            for name, r in sorted(read, key=lambda pair: (pair[1].step, pair[1].at))
        ]

    # ---- reading

    def _refresh(self) -> bool:
        """Bring the runs up to date: all of them once, then those that run, have ended since, or ran before.

        Whether there may be something to tell.
        """
        if not self._read:
            runs = self.store.runs(self.experiment.id, self._condition())
            self._runs = {run.id: run for run in runs}
            self._read = True
            return True
        if not self.store.exists(self.experiment):
            self._extent = replace(self._extent, gone=True)
            return False
        ends = [run.ended for run in self._runs.values() if run.ended is not None]
        self._polls += 1
        margin = 0.0 if self._polls % SKEW_POLLS else SKEW_S
        since = round(1000 * (max(ends, default=0.0) - margin))
        fresh: dict[str, Run] = {}
        for condition in ("attributes.status = 'RUNNING'", f"attributes.end_time > {since}"):
            for run in self.store.runs(self.experiment.id, self._condition(condition)):
                fresh[run.id] = run
        for run in list(self._runs.values()):
            if run.running and run.id not in fresh and (again := self.store.run(run.id)):
                fresh[run.id] = again
        changed = any(self._runs.get(run.id) != run for run in fresh.values())
        self._runs |= fresh
        return changed

    def _overdue(self, run: Run, place: _Place) -> bool:
        known = place.told.get(run.id)
        return run.running and known is not None and not known.ended and bool(self._abandoned(run))

    def _condition(self, condition: str = "") -> str:
        inside = f"tags.`mlflow.parentRunId` = '{self._parent.id}'" if self._parent else ""
        return " and ".join(part for part in (condition, inside) if part)

    def _ask(self) -> Search:
        """What the study is about: from the options, else the search file, else MLflow. Raises SourceError."""
        if self._question is not None:
            return self._question
        wanted = self.wanted
        file, keys = self._file()
        parents = [self._parent] if self._parent else [run for run in self._runs.values() if run.is_study]
        said = parents[0].tags if parents else {}
        objective = wanted.objective or (file.objective if "objective" in keys else None)
        objective = objective or said.get("tuner.objective") or self._only_metric()
        direction = wanted.direction or (file.direction if "direction" in keys else None)
        direction = direction or said.get("tuner.direction") or UNKNOWN.direction
        if direction not in ("minimize", "maximize"):
            raise SourceError(f"--direction {direction}: write minimize or maximize")
        self._check(objective)
        self._given = file.space if wanted.space else None
        self._question = replace(
            UNKNOWN, name=self.name, objective=objective, direction=direction, sampler="",
            space=self._given or UNKNOWN.space, seed=int(said.get("tuner.seed", 0)),
        )  # fmt: skip
        return self._question

    def _file(self) -> tuple[Search, Collection[str]]:
        """What --space names, and the keys it has. It need not say what to run."""
        if self.wanted.space is None:
            return UNKNOWN, ()
        try:
            keys = tomllib.loads(self.wanted.space.read_text(encoding="utf-8-sig")).keys()
        except (OSError, ValueError):
            keys = {"target"}  # load_search says what is wrong
        overrides = [] if keys & {"target", "command"} else ["target=mlflow:runs"]
        try:
            return load_search(self.wanted.space, overrides), keys
        except SearchError as error:
            raise SourceError(str(error)) from error

    def _metrics(self) -> Counter[str]:
        """In how many runs each metric is."""
        return Counter(name for run in self._runs.values() if not run.is_study for name in run.metrics)

    def _only_metric(self) -> str:
        metrics = self._metrics()
        if len(metrics) == 1:
            return next(iter(metrics))
        there = f"its metrics are {_counted(metrics)}" if metrics else "none of its runs has a metric yet"
        raise SourceError(f"{self.address}: say which metric is the loss with --objective; {there}")

    def _check(self, objective: str) -> None:
        """A misspelt objective would make every run one that never started."""
        metrics = self._metrics()
        if metrics and objective not in metrics:
            raise SourceError(
                f"{self.address}: no run has a metric {objective!r}; "
                f"the metrics are {_counted(metrics)}{nearest(objective, metrics)}"
            )

    # ---- which runs are trials

    def _trials(self, objective: str) -> list[Run]:
        """The runs that are trials: not those that hold others together, nor parts of one that is a trial."""
        children: dict[str, list[Run]] = {}
        for run in self._runs.values():
            children.setdefault(run.parent, []).append(run)
        below: dict[str, bool] = {}

        def has_below(run: Run) -> bool:
            """Whether a run below this one has the objective."""
            if run.id not in below:
                below[run.id] = False  # ends a circle of parents, which MLflow does not refuse
                below[run.id] = any(
                    objective in child.metrics or has_below(child) for child in children.get(run.id, ())
                )
            return below[run.id]

        def holds_others(run: Run) -> bool:
            lacks = objective not in run.metrics
            return run.is_study or (run.id in children and (lacks or has_below(run)))

        return [
            run
            for run in self._runs.values()
            if not holds_others(run)
            and (run.parent not in self._runs or holds_others(self._runs[run.parent]))
        ]

    def _search(self, question: Search, trials: Sequence[Run]) -> Search:
        if self._given is not None:
            return question
        # A param never changes once it is logged: as many runs with as many params have the same ones.
        size = (len(trials), sum(len(run.params) for run in trials))
        if size != self._inferred[0]:
            self._inferred = size, infer([_read(run.params) for run in trials if run.params])
        inferred = self._inferred[1]
        return replace(question, space=inferred.space, fixed=inferred.fixed)

    # ---- what is told of a run

    def _news(self, run: Run, known: _Told, search: Search, whole: bool) -> tuple[list[Event], _Told]:
        """What a run did that was not told yet, and what has been told of it then."""
        number, events = known.number, []
        if not known.at or len(run.params) > known.params:
            seed = run.tags.get("tuner.seed", "")
            started = TrialStarted(
                run.began, number, _read(run.params, search.space),
                seed=int(seed) if seed.isdecimal() else None, device=run.tags.get("tuner.device", ""),
            )  # fmt: skip
            events.append(started)
        at = max(known.at, run.began)
        history = self._history(run, known, search.objective, whole)
        for index, reading in enumerate(history, start=1):
            values = {search.objective: reading.value}
            if index == len(history):  # the other metrics as they are now
                values = {name: r.value for name, r in run.metrics.items()} | values
            at = max(at + _TICK_S, reading.at)
            events.append(TrialMeasured(at, number, reading.step, values))
        seen = _Told(
            number, len(run.params), known.readings + len(history),
            last=history[-1] if history else known.last,
            finite=known.finite or any(math.isfinite(r.value) for r in history),
            nan=known.nan or any(math.isnan(r.value) for r in history),
        )  # fmt: skip
        end = _end(run, seen, search.objective, self._abandoned(run), at)
        if end is not None:
            if not history and not known.readings and run.metrics:  # what it has in the objective's place
                at += _TICK_S
                others = {name: r.value for name, r in run.metrics.items()}
                events.append(TrialMeasured(at, number, max(r.step for r in run.metrics.values()), others))
            events.append(end)
        return events, replace(seen, at=at, ended=end is not None)

    def _history(self, run: Run, known: _Told, objective: str, whole: bool) -> list[Reading]:
        """The objective's readings that were not told yet, in order."""
        now = run.metrics.get(objective)
        if now is None or now == known.last:
            return []
        if not whole and math.isfinite(now.value):
            return [now]
        new = self.store.history(run.id, objective)[known.readings :] or [now]
        if run.tags.get("tuner.outcome"):
            return new
        # A nan on the way does not spoil what its own program took for a result; one at the end does.
        return [r for r in new if r is new[-1] or not math.isnan(r.value)]

    def _abandoned(self, run: Run) -> str:
        """Why a run that MLflow calls RUNNING can't be running any more; "" where it can."""
        if not run.running:
            return ""
        quiet = time.time() - run.last_sign
        parent = self._runs.get(run.parent) or self._parent
        when = f"it last logged at {time.strftime('%Y-%m-%d %H:%M', time.localtime(run.last_sign))}"
        if parent is not None and parent.id == run.parent and not parent.running and quiet > QUIET_S:
            return f"MLflow still says {run.status}, but its parent run has ended and {when}"
        return f"MLflow still says {run.status}, but {when}" if quiet > ABANDONED_S else ""


def _numbers(runs: Sequence[Run], told: Mapping[str, _Told]) -> dict[str, int]:
    """A number for each run that has none yet: tuner's own where no two runs share it, else in their order."""
    numbers = {run_id: known.number for run_id, known in told.items()}
    taken = set(numbers.values())
    own = Counter(run.tags.get("tuner.trial", "") for run in runs)
    following = max(taken, default=-1) + 1
    for run in runs:
        if run.id in numbers:
            continue
        tag = run.tags.get("tuner.trial", "")
        if len(own) == len(runs) and tag.isdecimal() and int(tag) not in taken:
            numbers[run.id] = int(tag)
        else:
            numbers[run.id] = following
        taken.add(numbers[run.id])
        following = max(following, numbers[run.id] + 1)
    return numbers


def _end(run: Run, seen: _Told, objective: str, abandoned: str, at: float) -> TrialEnded | None:
    """How a run ended; None while it runs."""
    if run.running and not abandoned:
        return None
    number, last = seen.number, seen.last
    ended = max(at, run.ended if run.ended is not None else run.last_sign)
    if outcome := run.tags.get("tuner.outcome"):  # tuner's own: it said how
        ours, reason = decode_end(outcome, run.tags.get("tuner.reason"))
        assert ours is not None
        code = run.tags.get("tuner.exit_code", "")
        return TrialEnded(
            ended, number, ours, reason, run.tags.get("tuner.message", ""),
            exit_code=int(code) if code.lstrip("-").isdecimal() else None,
        )  # fmt: skip
    reason, message = None, ""
    if abandoned:
        reason, message = Reason.INTERRUPTED, abandoned
    elif run.status == "KILLED":
        reason, message = Reason.STOPPED, "MLflow says KILLED"
    elif run.status != "FINISHED":
        reason, message = Reason.EXCEPTION, f"MLflow says {run.status}, and keeps no message"
    elif last is None:
        there = ", ".join(sorted(run.metrics)[:_LISTED]) or "no metric at all"
        reason, message = Reason.EXIT, f"ended without the metric {objective}; it has {there}"
    elif not math.isfinite(last.value) or seen.nan:
        reason, message = Reason.DIVERGED, f"{objective} became {'nan' if seen.nan else last.value}"
    outcome = Outcome.FINISHED if reason is None else judge(reason, seen.finite)
    return TrialEnded(ended, number, outcome, reason, one_line(message))


def _read(params: Mapping[str, str], space: Space = UNKNOWN.space) -> dict[str, Any]:
    """Parameters as the values that `space` has, by name: MLflow keeps no order."""
    known = {h.name: h.distribution for h in space}
    values = {name: _value(params[name], known.get(name)) for name in sorted(params)}
    return {name: value for name, value in values.items() if value is not None}


def _value(text: str, distribution: Distribution | None) -> Any:
    """The option of a choice whatever it looks like; None for a text where a number has to be."""
    value = read_value(text)
    match distribution:
        case Choice(options):
            return value if value in options else next((o for o in options if str(o) == text), value)
        case Float() | Int():
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case _:
            return value


def _counted(metrics: Counter[str]) -> str:
    shown = ", ".join(f"{name} ({runs} runs)" for name, runs in metrics.most_common(_LISTED))
    return shown if len(metrics) <= _LISTED else f"{shown} and {len(metrics) - _LISTED} more"
