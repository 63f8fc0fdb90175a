"""A confirmation in sentences: what fresh runs of the best trials brought, and whether their order stands."""

from __future__ import annotations

import math

from ..analysis.confirmation import Confirmation, Confirmed, confirmation
from ..analysis.means import Interval
from ..search.search import Search
from ..study.snapshot import Snapshot, Trial
from .words import number, one_line, plural

Found = tuple[Confirmation, Search]


def find(snapshot: Snapshot) -> Found | None:
    """None for a study that confirms none."""
    found = confirmation(snapshot)
    return None if found is None else (found, snapshot.search)


def sentences(found: Found) -> tuple[str, ...]:
    """The whole finding."""
    told, search = found
    lines = [_runs(trial) for trial in told.trials]
    if told.running:
        lines.append(f"{plural(told.running, 'run')} to come: what follows may change")
    if told.noise is None:
        return (*lines, "too few runs to say more: each trial needs two that finish")
    if told.noise == 0:
        lines.append("the runs of each trial are all alike: the seed changes nothing here")
    if told.order:
        lines.append(_order(told))
    if told.chosen is None:
        return (*lines, "runs of every trial failed: none can be chosen")
    lines += _compared(told)
    lines += _luck(told, search.sign)
    if told.corrected is not None:
        name = _name(told.chosen)
        lines.append(
            f"corrected for having been chosen, {name} is worth {_interval(told.corrected)} "
            "(choice and estimate from different runs)"
        )
    return tuple(lines)


def confirmed_words(trial: Trial) -> str:
    """`0.531 ± 0.012 (5 runs)` for a trial that was run again with new seeds; "" for another."""
    from ..analysis.means import interval

    if not trial.confirming_runs:
        return ""
    failed = trial.confirming_runs - len(trial.confirmed)
    runs = plural(trial.confirming_runs, "run") + (f", {failed} failed" if failed else "")
    return f"{_plus_minus(interval(trial.confirmed))} ({runs})" if trial.confirmed else f"({runs})"


def _runs(trial: Confirmed) -> str:
    in_sweep = "" if trial.point.value is None else f" ({number(trial.point.value)} in the sweep)"
    failed = f"; {plural(trial.failed, 'run')} failed" if trial.failed else ""
    name = one_line(trial.point.label)
    if not trial.values:
        return f"{name}{in_sweep}: no run has finished{failed}"
    return f"{name}{in_sweep}: {_interval(trial.mean)} over {plural(len(trial.values), 'fresh run')}{failed}"


def _order(told: Confirmation) -> str:
    before = ", ".join(_number(t) for t in told.trials)
    after = ", ".join(_number(t) for t in told.order)
    if told.order == told.trials:
        return f"the order of the sweep stands: {before}"
    return f"the order of the sweep is not confirmed: {before} there, {after} by the means of fresh runs"


def _compared(told: Confirmation) -> list[str]:
    assert told.chosen is not None
    name = _name(told.chosen)
    apart = [c for c in told.comparisons if c.apart]
    alike = [c for c in told.comparisons if not c.apart]
    lines = [
        f"{name} is better than {_name(c.other)} by {_interval(c.gap)}: more than the noise between seeds"
        for c in apart
    ]
    if alike:
        names = " and ".join(_name(c.other) for c in alike)
        lines.append(
            f"{name} can't be told from {names}: the noise between seeds (standard deviation "
            f"{number(told.noise, 2)}) explains the difference"
        )
    return lines


def _luck(told: Confirmation, sign: int) -> list[str]:
    """How much better the sweep's best looked than it is, where that is more than the noise of its mean."""
    first = told.trials[0]
    if first.point.value is None or len(first.values) < 2:
        return []
    luck = sign * (first.mean.mean - first.point.value)
    if luck <= first.mean.half:
        return []
    return [
        f"{_name(first)}, the best of {plural(told.candidates, 'trial')}, was lucky in the sweep: "
        f"fresh runs are worse by {number(luck, 2)} on average"
    ]


def _name(trial: Confirmed) -> str:
    return one_line(trial.point.label.partition(",")[0])


def _number(trial: Confirmed) -> str:
    return str(trial.point.trial)


def _interval(found: Interval) -> str:
    if not math.isfinite(found.half):
        return number(found.mean)
    return f"{_plus_minus(found)} (95 % interval)"


def _plus_minus(found: Interval) -> str:
    return (
        f"{number(found.mean)} ± {number(found.half, 2)}" if math.isfinite(found.half) else number(found.mean)
    )
