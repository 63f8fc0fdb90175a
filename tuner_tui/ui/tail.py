"""Following one study: its source read in bites, folded into the newest snapshot.

Reading happens on the screen's own thread in slices of a few milliseconds, so a journal of a million events
delays neither the first paint nor a key. There is one snapshot, the newest: an older one never waits in line.
"""

from __future__ import annotations

import time
from typing import Any

from ..sources.source import Extent, Source, SourceError
from ..study.publication import Publication
from ..study.snapshot import Snapshot, fold_all
from ..study.state import State

SLICE_S = 0.012  # reading time before the screen may draw and take keys again


class StudyTail:
    """The newest snapshot of a source, and how much of the source is in it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.snapshot = Snapshot(study=source.name)
        self.extent = Extent(size=0)  # when last looked at
        self.caught_up = True  # all that was there at the last look is in the snapshot
        self.trouble = ""  # why it could not be read at the last try; the last snapshot stays to be looked at
        self._place: Any = None
        self._read = 0
        self._known = False  # whether it was ever caught up

    def glance(self) -> None:
        """See how much there is to read, without reading."""
        extent = self.source.extent()
        self.trouble = extent.trouble
        if extent.size is None or extent.size != self.extent.size:
            self.caught_up = extent.gone
        self.extent = extent
        self._known = self._known or self.caught_up

    @property
    def gone(self) -> bool:
        """Whether the study was deleted under us."""
        return self.extent.gone

    def advance(self, slice_s: float = SLICE_S) -> bool:
        """Read on for at most about `slice_s` seconds; return whether the snapshot is a new one."""
        self.glance()
        if self.gone or self.caught_up:
            return False
        if self.extent.size is not None and self.extent.size < self._read:  # another study under the old name
            self.snapshot, self._place, self._read = Snapshot(study=self.source.name), None, 0
            self._known = False
        before = self.snapshot.version
        deadline = time.monotonic() + slice_s
        while True:
            try:
                batch = self.source.events(self._place)
            except SourceError as error:
                self.trouble, self.caught_up = str(error), True
                break
            if batch.snapshot is not None:
                self.snapshot = batch.snapshot
            elif not batch.events:  # nothing whole is left: a torn last line is "not yet"
                self.caught_up = True
                break
            self.snapshot = fold_all(self.snapshot, batch.events)
            self._place, self._read = batch.place, batch.read
            if time.monotonic() > deadline:
                self.caught_up = self.extent.size is not None and self._read >= self.extent.size
                break
        self._known = self._known or self.caught_up
        return self.snapshot.version != before

    @property
    def share_read(self) -> float:
        """How much of the source is in the snapshot, 0 to 1."""
        return self._read / self.extent.size if self.extent.size else 1.0

    def state(self) -> State:
        """How the study stands; READING until all of it has been read once: what is left could change the answer."""
        return self.source.state(self.snapshot) if self._known else State.READING

    def publication(self) -> Publication | None:
        """How MLflow's copy stands; None where there is none."""
        return self.source.publication()
