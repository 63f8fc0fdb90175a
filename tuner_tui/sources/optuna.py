"""Studies in an Optuna storage, read-only, also while other processes add trials to it.

`optuna:sqlite:///trials.db`, `optuna:postgresql://host/db` (any URL that Optuna takes) or `optuna:journal.log`
(a file of JournalFileBackend). Each Optuna study is one of ours; its trials end as follows:

    COMPLETE   finished; unfinished (diverged) where its value is infinite
    PRUNED     unfinished (pruned) with its last intermediate value; never started without one
    FAIL       unfinished (exception) with its last intermediate value; never started without one
    RUNNING    running: Optuna does not know whether its process still lives
    WAITING    waiting: it has been enqueued

Nothing is written: a SQLite file is opened read-only, PostgreSQL in read-only transactions, and no table is
ever created. The search space is the union of what the trials drew, since Optuna keeps no other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..search.search import UNKNOWN, Search
from ..search.space import Choice, Distribution, Float, Hyperparameter, Int, Space
from ..study.events import (
    Event,
    StudyAsked,
    StudyChanged,
    StudyOpened,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
)
from ..study.outcomes import Outcome, Reason, judge
from ..study.text import one_line
from .source import Batch, Extent, Source, SourceError, Wanted

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

BATCH = 2000  # events; folding so many takes some 10 ms
TABLES = {"studies", "trials", "version_info"}  # what every version of Optuna's schema has
_TICK_S = 1e-6  # between two readings of one trial: Optuna keeps no time of an intermediate value


def studies(place: str, wanted: Wanted) -> Sequence[Source]:
    """The studies in a storage, the one that began last first. Raises SourceError when it can't be read."""
    wanted.refuse("an Optuna storage")
    import optuna

    storage, address = _storage(place)
    with _told(address):
        summaries = optuna.get_all_study_summaries(storage, include_best_trial=False)
    summaries.sort(key=lambda s: s.datetime_start or datetime.min, reverse=True)
    if not summaries:
        raise SourceError(f"{address}: this storage has no study yet")
    return [OptunaSource(storage, address, s.study_name) for s in summaries]


@dataclass(frozen=True)
class _Place:
    """What was told of each trial, by number, and of the study."""

    told: Mapping[int, _Told] = field(default_factory=dict)
    search: Search | None = None
    planned: int = 0
    opened: bool = False  # whether a trial has started


@dataclass(frozen=True)
class _Told:
    params: int = -1  # how many; -1: not started
    steps: frozenset[int] = frozenset()
    ended: bool = False


_NOTHING = _Told()


class OptunaSource(Source):
    """One Optuna study."""

    def __init__(self, storage: BaseStorage, address: str, name: str) -> None:
        self._storage = storage
        self._address = address
        self._name = name
        self._study: Study | None = None
        self._extent = Extent()

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> str:
        return f"{self._address} {self._name}"

    def extent(self) -> Extent:
        return self._extent

    def events(self, since: Any = None) -> Batch:
        """What changed in the storage since `since`, at most about BATCH events. Raises SourceError.

        A study with several objectives is refused: a scatterplot shows one.
        """
        place = since or _Place()
        with _told(self._address):
            try:
                study = self._loaded()
                trials = study.get_trials(deepcopy=False)
            except KeyError:
                self._extent = replace(self._extent, gone=True)
                return Batch((), place)
        told = dict(place.told)
        fresh = [t for t in trials if not told.get(t.number, _NOTHING).ended and t.state.name != "WAITING"]
        search = self._search(study, place.search, fresh)
        began = min((_at(t.datetime_start) for t in fresh), default=None)
        events: list[Event] = []
        if search != place.search or (began is not None and not place.opened):
            if place.opened or began is not None:
                events.append(StudyOpened(began or 0.0, self._name, search, pid=0))
            else:
                events.append(StudyAsked(0.0, self._name, search))
        if events or place.planned != len(trials):
            events.append(StudyChanged(began or 0.0, len(trials)))
        for trial in fresh:
            news, told[trial.number] = _news(trial, told.get(trial.number, _NOTHING), search.objective)
            events += news
            if len(events) >= BATCH:
                break
        if events:
            touched = max(event.at for event in events)
            self._extent = replace(self._extent, touched=max(self._extent.touched, touched))
        return Batch(events, _Place(told, search, len(trials), place.opened or began is not None))

    def _loaded(self) -> Study:
        import optuna

        if self._study is None:
            study = optuna.load_study(study_name=self._name, storage=self._storage)
            if len(study.directions) > 1:
                names = ", ".join(study.metric_names or [d.name.lower() for d in study.directions])
                raise SourceError(
                    f"{self._address}: the study {self._name!r} has {len(study.directions)} objectives ({names}), "
                    "and tuner shows studies of one; copy its trials into a study with one of them: "
                    "new.add_trial(optuna.trial.create_trial(value=t.values[0], params=t.params, "
                    "distributions=t.distributions)) for each finished trial t"
                )
            self._study = study
        return self._study

    def _search(self, study: Study, known: Search | None, newer: Sequence[FrozenTrial]) -> Search:
        """The question as far as the storage tells it: what is varied, and which way is better."""
        if known is None:
            metric = (study.metric_names or ["value"])[0]
            known = replace(
                UNKNOWN, name=self._name, objective=metric, direction=study.direction.name.lower(), sampler=""
            )
        space = {h.name: h.distribution for h in known.space}
        for trial in newer:
            for name, drawn in trial.distributions.items():
                ours = _distribution(drawn)
                space[name] = _union(space[name], ours) if name in space else ours
        return replace(known, space=Space(tuple(Hyperparameter(n, d) for n, d in space.items())))


def _news(trial: FrozenTrial, known: _Told, objective: str) -> tuple[list[Event], _Told]:
    """What a trial did that was not told yet, and what has been told of it then."""
    number, began = trial.number, _at(trial.datetime_start)
    events: list[Event] = []
    if len(trial.params) > known.params:
        params = {name: _value(value) for name, value in trial.params.items()}
        events.append(TrialStarted(began, number, params, seed=None, device=""))
    new = sorted(trial.intermediate_values.keys() - known.steps)
    for index, step in enumerate(new, start=len(known.steps) + 1):
        value = float(trial.intermediate_values[step])
        # An intermediate nan is told apart from the objective: Optuna may still call the trial COMPLETE.
        name = objective if math.isfinite(value) else "intermediate"
        events.append(TrialMeasured(began + index * _TICK_S, number, step, {name: value}))
    steps = known.steps | frozenset(new)
    ended = trial.state.is_finished()
    if ended:
        events += _end(trial, objective, began + (len(steps) + 1) * _TICK_S)
    return events, _Told(len(trial.params), steps, ended)


def _end(trial: FrozenTrial, objective: str, measured_at: float) -> Iterator[Event]:
    """How a trial ended; before it its value, where that is not the last intermediate one."""
    last = max(trial.intermediate_values, default=0)
    finite = any(math.isfinite(v) for v in trial.intermediate_values.values())
    if trial.state.name == "COMPLETE" and trial.value is not None:
        if trial.intermediate_values.get(last) != trial.value:
            yield TrialMeasured(measured_at, trial.number, last, {objective: trial.value})
        finite = finite or math.isfinite(trial.value)
        reason = None if math.isfinite(trial.value) else Reason.DIVERGED
        message = "" if reason is None else f"Optuna has {trial.value} as its value"
    elif trial.state.name == "PRUNED":
        reason, message = Reason.PRUNED, f"pruned at step {last}" if trial.intermediate_values else "pruned"
    else:
        reason, message = Reason.EXCEPTION, "Optuna says FAIL, and keeps no message"
    outcome = Outcome.FINISHED if reason is None else judge(reason, finite)
    yield TrialEnded(_at(trial.datetime_complete), trial.number, outcome, reason, message)


# ---- values and distributions


def _at(moment: datetime | None) -> float:
    """Seconds since the epoch; Optuna writes local time. 0 for a moment it does not know."""
    return 0.0 if moment is None else moment.timestamp()


def _value(value: Any) -> Any:
    """A choice as JSON can hold it. None is a choice like any other, and written as one."""
    return value if isinstance(value, bool | int | float | str) else one_line(str(value))


def _distribution(drawn: BaseDistribution) -> Distribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match drawn:
        case FloatDistribution():
            return Float(drawn.low, drawn.high, drawn.log, drawn.step)
        case IntDistribution():
            return Int(drawn.low, drawn.high, drawn.log, drawn.step)
        case CategoricalDistribution():
            return Choice(tuple(dict.fromkeys(_value(choice) for choice in drawn.choices)))
        case other:
            raise SourceError(f"tuner knows no distribution {type(other).__name__}")


def _union(one: Distribution, other: Distribution) -> Distribution:
    """A range that holds both: a study may change its ranges from trial to trial."""
    if one == other:
        return one
    match one, other:
        case Choice(), Choice():
            return Choice(tuple(dict.fromkeys((*one.options, *other.options))))
        case Int(), Int():
            step = one.step if one.step == other.step and (one.low - other.low) % one.step == 0 else 1
            return Int(min(one.low, other.low), max(one.high, other.high), one.log and other.log, step)
        case ((Float() | Int()), (Float() | Int())):
            return Float(min(one.low, other.low), max(one.high, other.high), one.log and other.log)
        case _:
            return one  # Optuna refuses a name that is a choice here and a number there


# ---- storages


def _storage(place: str) -> tuple[BaseStorage, str]:
    """The storage, and its address as it can be shown: without a password. Raises SourceError."""
    if "://" in place:
        return _database(place)
    path = Path(place).expanduser()
    if not path.is_file():
        raise SourceError(
            f"optuna:{place}: no such file; write optuna:sqlite:///FILE or another URL, or optuna:FILE for a journal"
        )
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        return _database(f"sqlite:///{path}")
    if not head.startswith(b"{"):
        raise SourceError(f"optuna:{place}: this is neither an Optuna journal nor a SQLite file")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with _told(f"optuna:{place}"):
        return JournalStorage(JournalFileBackend(str(path))), f"optuna:{place}"


def _database(url: str) -> tuple[BaseStorage, str]:
    import sqlalchemy
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        address = f"optuna:{parsed.render_as_string(hide_password=True)}"
    except ArgumentError as error:
        raise SourceError(f"optuna:{url}: this is not a database URL, such as sqlite:///trials.db") from error
    options: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "").expanduser()
        if not path.is_file():
            raise SourceError(f"{address}: no such file")
        query = {"mode": "ro", "uri": "true"}
        parsed = parsed.set(database=f"file:{quote(str(path.resolve()))}", query=query)
    elif parsed.get_backend_name() == "postgresql":
        options["connect_args"] = {"options": "-c default_transaction_read_only=on"}
    with _told(address):
        engine = sqlalchemy.create_engine(parsed, **options)
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        engine.dispose()
        if not tables >= TABLES:
            there = f"it has {', '.join(sorted(tables)[:6])}, ..." if tables else "it is empty"
            raise SourceError(f"{address}: this database is not an Optuna storage: {there}")
        plain = parsed.render_as_string(hide_password=False)
        # Braces would be read as Optuna's own placeholder for a schema version.
        plain = plain.replace("{", "{{").replace("}", "}}")
        return RDBStorage(plain, engine_kwargs=options, skip_table_creation=True), address


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn what Optuna and its databases raise into a SourceError that names the storage.

    A KeyError passes: it is how Optuna says that a study was deleted.
    """
    try:
        yield
    except (SourceError, KeyError):
        raise
    except ImportError as error:
        said = one_line(str(error), 300)
        raise SourceError(f"{address}: {said}; install the database's driver beside tuner") from error
    except Exception as error:
        said = one_line(str(error).split("\n")[0], 300)
        raise SourceError(f"{address}: {type(error).__name__}: {said}") from error
