"""Stop a study whose trials can't tell anything: what is wrong is the same for all of them, so going on would only
fill the plots with red lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..search.search import Search
from ..study.outcomes import Outcome, Reason
from ..study.snapshot import Trial

_NUMBERS = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def broken(search: Search, trials: Mapping[int, Trial], last: Trial, *, by_itself: bool) -> str:
    """Why no more trials should be started now that `last` has ended, or "".

    `by_itself`: it ended well as far as its process says. Then a missing objective is a mistake in the search file
    and not a verdict on hyperparameters, unless another trial has reported it.
    """
    if by_itself and last.reason is Reason.EXIT and not any(trial.curve for trial in trials.values()):
        return f"trial {last.number} {last.message}; {_remedy(search)}"
    if last.outcome is not Outcome.NO_START:
        return ""  # most trials end here: the rest looks at all of them
    limit = search.limits.same_failures
    ended = sorted((t for t in trials.values() if t.ended_at is not None), key=lambda t: t.ended_at or 0.0)
    row = ended[-limit:]
    if len(row) < limit or any(trial.outcome is not Outcome.NO_START for trial in row):
        return ""
    if len({(trial.reason, _NUMBERS.sub("0", trial.message)) for trial in row}) > 1:
        return ""
    return (
        f"{len(row)} trials in a row never started for the same reason, the last: {last.message}; correct it and "
        f"`tuner resume`, or set limits.same_failures"
    )


def _remedy(search: Search) -> str:
    log = "see its log.txt"
    if search.read.patterns:
        return f"no line of its output matched read.pattern; correct the pattern ({log})"
    if search.read.file:
        return f"read.file = {search.read.file!r} held none; correct the path or the objective"
    if search.command:
        return (
            f'print lines of JSON such as {{"step": 1, "{search.objective}": 0.5}}, or say how its output is read: '
            f"[read] pattern = 'loss (?P<{search.objective}>\\S+)' ({log})"
        )
    return f"the target must yield, report or return {search.objective!r}; or name another objective"
