"""A source that is read by a thread of its own, so that a slow database delays no key of the screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..study.events import Event, TrialMeasured
from ..study.snapshot import Snapshot
from ..study.state import State
from .source import Batch, Extent, Source, SourceError

POLL_S = 1.0  # a database on another machine is asked once a second, however often the screen looks
BITE = 400  # events given at once: 5 ms to fold
UNWATCHED_S = 5.0  # nobody has looked for so long: the database is left alone


class Background(Source):
    """The same study as `source`. `extent().trouble` says why it could not be read at the last try."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.files, self.desk = source.files, source.desk
        self._events: list[Event] = []  # all there were; only the thread adds to it
        self._extent = Extent(size=0)
        self._looked = time.monotonic()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def address(self) -> str:
        return self._source.address

    def state(self, snapshot: Snapshot) -> State:
        return self._source.state(snapshot)

    def extent(self) -> Extent:
        self._looked = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, daemon=True, name=f"source {self.name}")
            self._thread.start()
        return self._extent

    def events(self, since: Any = None) -> Batch:
        start = since or 0
        events = self._events[start : start + BITE]
        return Batch(events, start + len(events), start + len(events))

    def measurements(self, trial: int) -> Sequence[TrialMeasured]:
        return self._source.measurements(trial)

    def _follow(self) -> None:
        place = None
        while True:
            try:
                batch = self._source.events(place)
            except SourceError as error:
                self._extent = replace(self._extent, trouble=str(error))
                batch = Batch((), place)
            else:
                self._events += batch.events
                extent = self._source.extent()
                self._extent = replace(extent, size=len(self._events))
            place = batch.place
            if not batch.events:
                time.sleep(POLL_S)
            while time.monotonic() - self._looked > UNWATCHED_S:
                time.sleep(POLL_S)
