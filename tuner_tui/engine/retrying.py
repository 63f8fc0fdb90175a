"""Which ends say nothing about hyperparameters, so that the trial may be tried again (`retries` in a search file)."""

from __future__ import annotations

import re
import signal

from ..study.outcomes import Reason
from .launcher import Exited

# A program that does these to itself is broken for these hyperparameters; all other signals come from outside.
_OF_ITS_OWN = (
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSYS,
    signal.SIGTRAP,
)
_PORT_IN_USE = re.compile(r"address already in use|EADDRINUSE", re.IGNORECASE)


def is_no_verdict(
    reason: Reason | None, sentence: str, exited: Exited, *, shares: bool, limited: bool
) -> bool:
    """Whether an end came from outside the trial: a signal, a port that was taken, a process that could not be
    started, or memory that other trials have used up (`shares`: some ran beside it; `limited`: by a limit of its own,
    which is a verdict)."""
    if exited.cause == "launch":
        return True
    if reason is Reason.SIGNAL:
        return exited.exit_code is None or -exited.exit_code not in _OF_ITS_OWN
    if reason is Reason.OUT_OF_MEMORY:
        return shares and not limited
    return reason in (Reason.EXCEPTION, Reason.EXIT) and bool(_PORT_IN_USE.search(sentence))
