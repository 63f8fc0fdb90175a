"""The interface between the engine and what runs trials.

The engine does not deal with processes: it submits jobs, receives events and requests stops. A launcher does
not deal with samplers, journals or limits. Every launcher must pass `tests/support/launcher_contract.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .slots import Slot


@dataclass(frozen=True)
class Job:
    """Everything one trial needs, as plain JSON values: it may travel to another machine."""

    trial: int
    target: str  # "module:function", or "" for a command
    params: Mapping[str, Any]
    objective: str
    seed: int
    folder: str  # of the trial: log.txt, traceback.txt and out/ are written here
    device: str = "cpu"  # what the target is told: "cpu" or "cuda"
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1  # CPU threads it may use
    memory_bytes: int | None = None  # resident, with all its children; more ends it as out_of_memory
    log_bytes: int | None = None  # of log.txt; more is left out of its middle (study/log.py)
    path: Sequence[str] = ()  # where the target's module is looked up, before everything else
    slot: int = 0  # the number of the place it runs in
    run_ids: str = ""  # the file that tells the id of its MLflow run, where it shares it
    command: Sequence[str] = ()  # what to run instead of a target: a program and its arguments
    cwd: str = "."  # where the command runs
    secret: Mapping[str, str] = field(default_factory=dict)  # parameter -> variable that holds its value
    read: Mapping[str, Any] = field(default_factory=dict)  # how measurements are read (search/reading.py)


@dataclass(frozen=True)
class Started:
    """The trial has a process."""

    trial: int
    at: float
    pid: int | None = None
    process_started: float | None = None
    host: str = ""


@dataclass(frozen=True)
class Said:
    """The trial sent a message: a measurement, or its last word (see child.py)."""

    trial: int
    message: Mapping[str, Any]


@dataclass(frozen=True)
class Exited:
    """The trial's process has ended, and all it started was killed. The last event of a trial, always sent.

    `exit_code` is negative for a signal, None when unknown. `cause` is what only the launcher can know:
    "out_of_memory", or "launch" when the trial never got a process (then `message` says why).
    """

    trial: int
    at: float
    exit_code: int | None
    cause: str = ""
    message: str = ""


@dataclass(frozen=True)
class NotNow:
    """The trial could not be started for want of room on a disk, memory, processes or descriptors. Nothing of it has
    run: it can be submitted again, and says nothing about its hyperparameters. The last event of a submission."""

    trial: int
    message: str


LauncherEvent = Started | Said | Exited | NotNow


@dataclass(frozen=True)
class Target:
    """What a search must know of its target before the first trial."""

    names: tuple[str, ...] = ()  # parameters it takes by name
    required: tuple[str, ...] = ()  # of these, the ones without a default
    takes_any: bool = False  # it takes **anything
    yields: bool = True  # it can measure while it trains; a plain function is silent until it returns
    defaults: Mapping[str, Any] = field(
        default_factory=dict
    )  # of its parameters, where they are plain values


class Launcher(Protocol):
    """Starts trials somewhere, reports what they do, and stops them."""

    def describe(self) -> Target:
        """What the search's target takes. Raises BadTarget when it can't be run at all."""
        ...

    def slots(self, parallel: int, gpus: str) -> list[Slot]:
        """`parallel` places to run a trial in; `gpus` as `--gpus` has it. Raises ValueError with a sentence."""
        ...

    def submit(self, job: Job) -> None:
        """Start a trial soon. Never blocks for long and never raises for one bad job: it sends `Exited`, or `NotNow`
        where it may go better later."""
        ...

    def events(self, timeout: float) -> list[LauncherEvent]:
        """What happened since the last call; waits at most `timeout` seconds for something to happen."""
        ...

    def samples(self) -> Mapping[int, Mapping[str, float]]:
        """Running trial -> what its processes have used since the last call, under the names of MLflow's system
        metrics. Trials that were not seen before are not in it: use is a difference."""
        ...

    def stop(self, trial: int, *, now: bool = False) -> None:
        """Ask a trial to end at its next measurement; `now`: end it and all it started at once."""
        ...

    def close(self) -> None:
        """End everything still running and let go of all resources."""
        ...


class CannotRun(Exception):
    """No trial of a search can be run here; str() says why and what to do."""


class BadTarget(CannotRun):
    """The target can't be imported or can't take the search's hyperparameters; str() says what to do."""
