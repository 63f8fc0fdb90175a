"""The events of a study, and their form as one line of JSON.

A study is fully described by the list of its events. The engine writes each event before doing anything
else, and every viewer rebuilds its snapshot from the events. `at` increases strictly within a trial, so
(trial, at) identifies a measurement.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar
from zlib import crc32

from ..search.search import Search
from .outcomes import Outcome, Reason

Scalar = bool | int | float | str
Params = dict[str, Any]  # hyperparameter name -> JSON value


# Of the journal. Raised when an older program would misread it; such a program then shows the study but
# refuses to write to it. (An added event, field or reason needs no new format: old programs pass over it.)
FORMAT = 1


@dataclass(frozen=True)
class StudyAsked:
    """The search was set, or changed by a resume, before an engine opened the study."""

    kind: ClassVar[str] = "study_asked"
    at: float  # seconds since the epoch, as in every event
    study: str
    search: Search
    format: int = FORMAT


@dataclass(frozen=True)
class StudyOpened:
    """An engine opened the study, for the first time or again (`resumed`)."""

    kind: ClassVar[str] = "study_opened"
    at: float
    study: str
    search: Search
    pid: int  # of the engine
    host: str = ""
    resumed: bool = False
    format: int = FORMAT
    git_commit: str | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialStarted:
    """A trial began, with its parameters."""

    kind: ClassVar[str] = "trial_started"
    at: float
    trial: int  # the trial's number, from 0
    params: Params
    seed: int | None  # None where another program ran the trial
    device: str = "cpu"
    pid: int | None = None
    process_started: float | None = None  # kernel ticks after boot; with host and pid it names one process
    host: str = ""  # where it runs; "": where the engine runs
    source: str = ""  # the address of the study that ran it, for a trial from before this one (history.py)


@dataclass(frozen=True)
class TrialMeasured:
    """A trial reported measurements at a step."""

    kind: ClassVar[str] = "trial_measured"
    at: float
    trial: int
    step: int
    values: dict[str, float]  # may hold nan and inf: not-a-number is news


@dataclass(frozen=True)
class TrialSampled:
    """What a trial's processes used, under the names of MLflow's system metrics; no measurement of its own."""

    kind: ClassVar[str] = "trial_sampled"
    at: float
    trial: int
    step: int  # how many samples were taken of it before
    values: dict[str, float]  # finite


@dataclass(frozen=True)
class TrialEnded:
    """A trial ended, and how."""

    kind: ClassVar[str] = "trial_ended"
    at: float
    trial: int
    outcome: Outcome
    reason: str | None = None  # a Reason, or one that only a newer version knows; None when finished
    message: str = ""  # a sentence for a person
    exit_code: int | None = None  # negative: the signal that killed it


@dataclass(frozen=True)
class TrialRetried:
    """An attempt at a trial was ended by something outside of it; it starts again, with the same parameters.

    Where that was the end of the engine (reason `interrupted`), the attempt has a TrialEnded of its own before this.
    """

    kind: ClassVar[str] = "trial_retried"
    at: float
    trial: int
    reason: str | None = None  # why the attempt ended, as of a TrialEnded
    message: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class TrialConfirmed:
    """A trial was run again with new seeds, in a study of its own. The last confirmation of a trial counts."""

    kind: ClassVar[str] = "trial_confirmed"
    at: float
    trial: int
    study: str  # that ran it again
    runs: int  # how often
    losses: tuple[float, ...] = ()  # the values of those that finished


@dataclass(frozen=True)
class StudyChanged:
    """A viewer's request took effect: more trials, more at once, another space, a pause, or its end.

    `search`: as it is from now on; trials that have started keep what they were given. `reruns`: number of a trial
    to come (as text, as JSON has it) -> the trial whose parameters and seed it will have.
    """

    kind: ClassVar[str] = "study_changed"
    at: float
    trials: int | None = None  # planned in all, from now on
    paused: bool | None = None
    stopping: bool | None = None
    search: Search | None = None
    reruns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyClosed:
    """The engine closed the study properly. `why`: completed, stopped, or failed (it could not run at all)."""

    kind: ClassVar[str] = "study_closed"
    at: float
    why: str
    message: str = ""


Event = (
    StudyAsked
    | StudyOpened
    | TrialStarted
    | TrialMeasured
    | TrialSampled
    | TrialEnded
    | TrialRetried
    | TrialConfirmed
    | StudyChanged
    | StudyClosed
)

_KINDS: dict[str, type] = {
    cls.kind: cls
    for cls in (
        StudyAsked,
        StudyOpened,
        TrialStarted,
        TrialMeasured,
        TrialSampled,
        TrialEnded,
        TrialRetried,
        TrialConfirmed,
        StudyChanged,
        StudyClosed,
    )
}
# name -> whether it has a default; looked up once, for a long journal is hundreds of thousands of lines
_FIELDS: dict[type, dict[str, bool]] = {
    cls: {f.name: f.default is not MISSING or f.default_factory is not MISSING for f in fields(cls)}
    for cls in _KINDS.values()
}
# Standard JSON has no nan or inf; MLflow's and every other reader would choke on Python's spelling of them.
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


_CRC = ',"crc":"'
_CRC_CHARS = len(_CRC) + len('01234567"}')


def encode(event: Event) -> str:
    """One line of strict JSON, without the line end. Its last key is the checksum of what stands before it."""
    record: dict[str, Any] = {"event": event.kind}
    for name, optional in _FIELDS[type(event)].items():
        value = getattr(event, name)
        if optional and (value is None or value in ("", {}, ())):
            continue  # what has no default must be there to be read back: a trial may have no parameters
        record[name] = value
    if isinstance(event, StudyAsked | StudyOpened | StudyChanged) and event.search is not None:
        record["search"] = event.search.to_json()
    if isinstance(event, TrialMeasured):
        record["values"] = {name: encode_number(v) for name, v in event.values.items()}
    line = json.dumps(record, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    data = line.encode(errors="replace")  # a message may hold half a character (a lone surrogate)
    return f'{data.decode()[:-1]},"crc":"{crc32(data):08x}"}}'


def decode(line: str) -> Event | None:
    """The event on a line; None for a kind that a newer version wrote (old viewers keep working).

    Raises ValueError when the line is not an event at all, or not the one that was written. A line without a checksum
    is taken as it is: an older version wrote it, or a person.
    """
    line = line.rstrip()
    if line[-_CRC_CHARS:-10] == _CRC and crc32(f"{line[:-_CRC_CHARS]}}}".encode()) != _number(line[-10:-2]):
        raise ValueError(f"its checksum differs: {line[:80]!r}")
    try:
        record = json.loads(line)
        return _from_record(record) if record["event"] in _KINDS else None
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event: {line[:80]!r} ({error})") from error


def _number(hexadecimal: str) -> int:
    try:
        return int(hexadecimal, 16)
    except ValueError:
        return -1


def _from_record(record: dict[str, Any]) -> Event:
    cls = _KINDS[record["event"]]
    known = _FIELDS[cls]
    if cls in (StudyAsked, StudyOpened):
        record["search"] = _search(record)
    elif cls is StudyChanged and record.get("search") is not None:
        record["search"] = Search.from_json(record["search"])
    record = {key: value for key, value in record.items() if key in known}
    if cls is TrialMeasured:
        record["values"] = {name: decode_number(v) for name, v in record["values"].items()}
    if cls is TrialEnded:
        record["outcome"] = _outcome(record["outcome"])
        record["reason"] = _reason(record.get("reason"))
    if cls is TrialRetried:
        record["reason"] = _reason(record.get("reason"))
    if cls is TrialConfirmed:
        record["losses"] = tuple(float(loss) for loss in record.get("losses", ()))
    event = cls(**record)
    if type(event.at) not in (int, float) or type(getattr(event, "trial", 0)) is not int:
        raise ValueError(f"not an event: at {event.at!r}, trial {getattr(event, 'trial', None)!r}")
    if isinstance(event, TrialStarted) and not isinstance(event.params, dict):
        raise ValueError(f"not an event: params {event.params!r}")
    return event


def decode_end(outcome: str | None, reason: str | None) -> tuple[Outcome | None, str | None]:
    """How a trial ended, as it was written; None while it runs."""
    return (None if outcome is None else _outcome(outcome)), _reason(reason)


def _search(record: dict[str, Any]) -> Search:
    """The question of an opened study; version 0.1.0 kept a part of it beside it as well."""
    beside = {key: record[key] for key in ("objective", "direction", "trials", "seed") if key in record}
    return Search.from_json(beside | record["search"])


def _outcome(text: str) -> Outcome:
    """One that only a newer version knows is no reliable result, and its trial has ended all the same."""
    return Outcome(text) if text in _OUTCOMES else Outcome.UNFINISHED


def _reason(text: str | None) -> str | None:
    """Text that no version before it knew is kept as it is: a lost reason would be a lost end."""
    return Reason(text) if text in _REASONS else text or None


_OUTCOMES, _REASONS = frozenset(Outcome), frozenset(Reason)


def encode_number(value: float) -> float | str:
    """The number itself, or "nan", "inf", "-inf" where JSON has no number for it."""
    return value if math.isfinite(value) else str(float(value))


def decode_number(value: float | str) -> float:
    """The number that `encode_number` wrote. Raises KeyError for any other text."""
    return _NON_FINITE[value] if isinstance(value, str) else float(value)
