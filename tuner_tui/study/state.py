"""The state of a study, wherever it runs."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The states of a study."""

    RUNNING = "running"  # an engine holds the lock
    DONE = "done"  # every planned trial has ended
    STOPPED = "stopped"  # a person ended it early; `tuner resume` goes on
    INTERRUPTED = "interrupted"  # the engine was killed; `tuner resume` goes on
    FAILED = "failed"  # the engine could not run it at all: Snapshot.closed_message says why
    EMPTY = "empty"  # no engine ever opened it
    READING = "reading"  # a viewer has not read all of it yet, so it can't say
    IDLE = "idle"  # no trial runs; whether more will come, only another program knows

    @property
    def resumable(self) -> bool:
        """Whether an engine could take it up again and would find something to do."""
        return self in (State.STOPPED, State.INTERRUPTED, State.FAILED)
