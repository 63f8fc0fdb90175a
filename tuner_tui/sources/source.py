"""What every source of studies offers, wherever the study was recorded.

A source gives one study as events. The screen and the reports fold them into a Snapshot, so a study that another
program recorded looks like one of ours. Only `name` and `events` have to be written for a new source; the other
members say "there is nothing of the kind" unless it says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..study.events import Event, TrialMeasured
from ..study.publication import Publication
from ..study.requests import Request
from ..study.snapshot import Snapshot, fold_all
from ..study.state import State


@dataclass(frozen=True)
class Wanted:
    """How a person wants a study read that does not say so itself: options of the command line."""

    objective: str | None = None  # the metric that is the loss
    direction: str | None = None  # minimize or maximize
    space: Path | None = None  # a search file whose [space] is the study's
    tracking_uri: str | None = None  # of an MLflow store
    root: Path = Path("mlruns")  # where the studies of tuner are, and its MLflow store

    def refuse(self, address: str) -> None:
        """Raise SourceError for options that a place has no use for: its studies say it themselves."""
        given = [name for name in ("objective", "direction", "space", "tracking_uri") if getattr(self, name)]
        if given:
            option = given[0].replace("_", "-")
            raise SourceError(
                f"--{option} is for studies in MLflow (mlflow:EXPERIMENT); {address} says it itself"
            )


class SourceError(Exception):
    """A study can't be read from where it is said to be. str() says why and what to do."""


@dataclass(frozen=True)
class Batch:
    """Events, and the place behind them."""

    events: Sequence[Event]
    place: Any  # only the source knows what it means; None is the start
    read: int = 0  # how much of `Extent.size` lies before the place
    snapshot: Snapshot | None = None  # the fold of all before these events, where the source has kept it


@dataclass(frozen=True)
class Extent:
    """How much there is to read at this moment, found without reading it."""

    size: int | None = (
        None  # in the source's own unit; None: only reading tells. It shrinks only for a new study
    )
    touched: float = 0.0  # when it last grew, seconds since the epoch
    gone: bool = False  # the study was deleted
    trouble: str = ""  # why it can't be read at this moment, for a person; "" while it can


class Files(Protocol):
    """Where the files of a study are. Any of them may be missing."""

    @property
    def engine_log(self) -> Path: ...

    def log(self, number: int) -> Path:
        """Standard output and error of a trial."""
        ...

    def traceback(self, number: int) -> Path:
        """The traceback of a trial that ended with an exception."""
        ...

    def out(self, number: int) -> Path:
        """The folder of what a trial left."""
        ...


class Desk(Protocol):
    """Takes requests for an engine that runs the study."""

    def staffed(self) -> bool:
        """Whether an engine runs the study and will read a request."""
        ...

    def ask(self, request: Request) -> None:
        """Leave a request. Raises OSError when it can't be written."""
        ...


class Source(ABC):
    """One study, read-only unless it has a desk."""

    files: Files | None = None  # what its trials printed and left; None where that is not kept
    desk: Desk | None = None  # None: nothing can be asked of this study

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the study."""

    @property
    def address(self) -> str:
        """What opens it again: no two studies share it."""
        return self.name

    @abstractmethod
    def events(self, since: Any = None) -> Batch:
        """The next events behind a place, in order. No events: there is nothing new. Raises SourceError.

        A long study comes in several batches, so that a screen can draw in between.
        """

    def state(self, snapshot: Snapshot) -> State:
        """How the study stands, given all that was read of it."""
        return State.RUNNING if snapshot.counts.running else State.IDLE

    def extent(self) -> Extent:
        """How much there is to read. Cheap: a screen asks several times a second."""
        return Extent()

    def measurements(self, trial: int) -> Sequence[TrialMeasured]:
        """All that one trial measured, where the source can find it; a snapshot keeps the objective's curve alone.

        May take a tenth of a second for a long study.
        """
        return ()

    def publication(self) -> Publication | None:
        """How MLflow's copy stands; None where there is none."""
        return None

    def snapshot(self) -> Snapshot:
        """All that is known of the study now. Raises SourceError."""
        snapshot, place = Snapshot(study=self.name), None
        while True:
            batch = self.events(place)
            snapshot = batch.snapshot or snapshot
            if not batch.events and batch.snapshot is None:
                return snapshot
            snapshot, place = fold_all(snapshot, batch.events), batch.place
