"""An ablation in sentences: each step from the defaults to the best trial, and which of them bring anything."""

from __future__ import annotations

from ..analysis.ablation import Ablation, Step, ablation
from ..analysis.means import Interval
from ..study.snapshot import Snapshot
from .words import number, one_line, plural


def find(snapshot: Snapshot) -> Ablation | None:
    """None for a study that ablates none."""
    return ablation(snapshot)


def sentences(found: Ablation) -> tuple[str, ...]:
    """The whole finding."""
    lines = [_step(step) for step in found.steps]
    if found.running:
        return (*lines, f"{plural(found.running, 'run')} to come")
    told = [step for step in found.steps[1:] if step.gain is not None]
    nothing = [step for step in told if not step.apart]
    if nothing:
        names = ", ".join(one_line(step.point.label) for step in nothing)
        lines.append(f"can't be told from the noise between seeds: {names}")
    return tuple(lines)


def _step(step: Step) -> str:
    failed = f"; {plural(step.failed, 'run')} failed" if step.failed else ""
    name = one_line(step.point.label)
    if step.mean is None:
        return f"{name}: no run has finished{failed}"
    told = f"{name}: {_plus_minus(step.mean)}"
    if step.gain is not None and step.apart:
        how = "better" if step.gain.mean > 0 else "worse"
        told += f", {how} by {_plus_minus(Interval(abs(step.gain.mean), step.gain.half))}"
    return told + failed


def _plus_minus(found: Interval) -> str:
    return (
        f"{number(found.mean)} ± {number(found.half, 2)}"
        if found.half != float("inf")
        else number(found.mean)
    )
