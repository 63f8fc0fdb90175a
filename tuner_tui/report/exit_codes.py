"""The exit codes of a headless sweep, and which of them wins.

      4  not recorded   something that was measured is not on disk, or the study's folder went away; said in words
    130  interrupted    the sweep was ended with Ctrl-C; it is incomplete, whatever else holds
      3  none finished  not one trial finished: there is no result that a condition could be about
      1  condition held a --fail-if condition held
      0  done           the sweep ran to its end; some trials may have failed, the report says which
      2  bad input      a wrong option or search file; said before anything runs, so nothing competes with it

4 wins over all: what is not recorded can't be looked at again.

3 wins over 1 because a condition on `best` counts as held when there is no best: were it the other way
round, a sweep in which nothing worked could not be told from one whose result is merely poor. Every verdict
is printed in either case.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..study.snapshot import Snapshot
from .fail_if import Verdict

DONE = 0
CONDITION_HELD = 1
BAD_INPUT = 2
NONE_FINISHED = 3
NOT_RECORDED = 4
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports too


def exit_code(snapshot: Snapshot, verdicts: Iterable[Verdict] = (), interrupted: bool = False) -> int:
    """The code for a sweep that is over. (BAD_INPUT is given where the input is read.)"""
    if interrupted:
        return INTERRUPTED
    if snapshot.counts.finished == 0:
        return NONE_FINISHED
    return CONDITION_HELD if any(verdict.holds for verdict in verdicts) else DONE
