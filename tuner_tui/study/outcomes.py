"""How a trial can end.

Telling three outcomes apart (blue dots, orange dots and red lines in the charts) is central, so the rule that
decides between them has its own file, apart from the code that observes processes.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How much a trial that has ended tells about its hyperparameters."""

    FINISHED = "finished"  # ended by itself with a finite loss: reliable
    UNFINISHED = "unfinished"  # reported at least one finite loss, then ended prematurely
    NO_START = "no_start"  # ended without one finite loss


class Reason(StrEnum):
    """Why a trial that did not finish ended. A closed set: reports group by it."""

    EXCEPTION = "exception"  # the target raised
    OUT_OF_MEMORY = "out_of_memory"
    SIGNAL = "signal"  # killed by a signal the tuner did not send
    EXIT = "exit"  # the process left by itself, or the target ended without the objective
    TIMEOUT = "timeout"  # longer than limits.trial_seconds
    SILENT = "silent"  # no measurement for limits.silent_seconds
    DIVERGED = "diverged"  # the objective became nan or infinite, or the target said so (raise Diverged)
    PRUNED = "pruned"
    STOPPED = "stopped"  # a person stopped it
    INTERRUPTED = "interrupted"  # the engine went away under it


# Ends the tuner or the user brought about; MLflow calls those KILLED, all other failures FAILED.
ENDED_BY_TUNER = frozenset({Reason.TIMEOUT, Reason.SILENT, Reason.PRUNED, Reason.STOPPED, Reason.INTERRUPTED})


def judge(reason: str | None, has_finite_loss: bool) -> Outcome:
    """The outcome of a trial that ended for `reason` (None: by itself, in good order)."""
    if not has_finite_loss:
        return Outcome.NO_START
    return Outcome.FINISHED if reason is None else Outcome.UNFINISHED
