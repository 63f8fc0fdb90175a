"""Refine: hypergradients take over where a random search ends, at its best trial.

A random search finds the region; its best trial is the start of a descent here, on seeds that are new in every
meta-iteration, so that no order of batches can be learned by heart. It ends at the latest where training becomes
chaotic. The result is judged on seeds that were never learned on.

    refine = refiner(start)      # start(lr=..., l2=...) makes a Start of a trial's hyperparameters

is a training function like any other, for a search file's `refiner`, which `tuner refine STUDY` runs.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from torch import Tensor

from meta.draw import BAD, GOOD, canvas
from meta.hypergrad import hypergradient
from meta.hypers import STARTS, Hypers, Parts
from meta.inner.ties import Ties
from meta.methods.method import Method
from meta.methods.truncated import Truncated
from meta.problem import Problem
from meta.result import Result
from meta.train.caps import capped
from meta.train.chaos import Diverged, Guards
from meta.train.optimisers import Adam, Outer

Measured = dict[str, float]

STRIDE = 1_000_003  # between the seeds of two descents: a prime far above what one of them uses
MOST, MARKED = 8, 30  # names in a legend, and values drawn as large dots
TRAINING = Truncated(1)  # where only trained weights are of interest: a way back of one step


def training(hypers: Hypers) -> str | Method:
    """The cheapest method where only trained weights are of interest: one step back reaches no first weights."""
    return "auto" if set(hypers.parts()) <= set(STARTS) else TRAINING


@dataclass(frozen=True, eq=False)
class Start:
    """Where a descent begins: a problem, and the hyperparameters to improve; fixed ones are not."""

    problem: Problem
    hypers: Hypers
    ties: Ties = field(default_factory=dict)
    fixed: Hypers | None = None

    def gradient(self, hypers: Hypers, seeds: range) -> Result:
        """The hypergradient at `hypers`, mean over these seeds."""
        return hypergradient(self.problem, hypers, seeds=seeds, ties=self.ties, fixed=self.fixed)

    def trained(self, hypers: Hypers, seeds: range) -> Result:
        """Trainings with these hyperparameters and seeds; the gradient is of the last step alone."""
        return hypergradient(
            self.problem, hypers, training(hypers), seeds=seeds, ties=self.ties, fixed=self.fixed
        )

    def judged(self, hypers: Hypers, seeds: range) -> "Judged":
        """What such trainings give."""
        found = self.trained(hypers, seeds)
        scores = self.problem.scores
        each = [scores(x) for x in found.weights] if scores else [{} for _ in seeds]
        named = {name: [one[name] for one in each] for name in each[0]}
        return Judged(found.seed_values.double().tolist(), named)


@dataclass(frozen=True)
class Judged:
    """What trainings gave, a value for each seed."""

    loss: list[float]  # the outer loss
    scores: dict[str, list[float]]  # of the problem


@dataclass(frozen=True, eq=False)
class Refined:
    """A descent so far. hypers: the last ones at which training was calm."""

    start: Start
    hypers: Hypers
    before: Judged
    held: range
    ended: bool = False  # by the guards

    @cached_property
    def after(self) -> Judged:
        """Trainings on the held-out seeds with what was learned."""
        return self.start.judged(self.hypers, self.held)

    def figures(self) -> Measured:
        """Means over the held-out seeds before and after, and the share by which they fell with its standard error.

        "held/..." is of the outer loss; of what the problem scores, "test/..." is of "loss/test".
        """
        found = _compared("held", self.before.loss, self.after.loss)
        old, new = self.before.scores, self.after.scores
        if "loss/test" in old:
            found |= _compared("test", old["loss/test"], new["loss/test"])
        if "error/test" in old:
            found |= {
                "error/before": fmean(old["error/test"]),
                "error/after": fmean(new["error/test"]),
            }
        return found | {"loss/held": found["held/after"], "ended": float(self.ended)}


def descend(
    start: Start, *, meta_lr: float = 0.03, meta_iterations: int = 30, seeds: int = 4, held: int = 16,
    seed: int = 0,
) -> Iterator[tuple[Measured, Refined]]:  # fmt: skip
    """The start, and the place after each meta-iteration of Adam: what is measured there, and the descent so far.

    seeds: trainings in a meta-iteration; none is used twice. held: the seeds 0 to held − 1 are never learned on.

    Raises Diverged when training is chaotic or infinite at the start already, ValueError for numbers that can't be.
    """
    for name, value, least in (
        ("meta_iterations", meta_iterations, 0),
        ("seeds", seeds, 1),
        ("held", held, 2),
    ):
        if value < least:
            raise ValueError(f"{name} = {value}: give {least} or more")
    if seeds * (meta_iterations + 1) + held > STRIDE:
        raise ValueError(
            f"seeds = {seeds}: with {meta_iterations} meta-iterations these are more than {STRIDE}"
        )
    now, outer = start.hypers, Outer(Adam(), meta_lr)
    kept = Refined(start, now, start.judged(now, range(held)), range(held))
    first = held + seed * STRIDE
    for step in range(meta_iterations + 1):
        found = start.gradient(now, range(first + step * seeds, first + (step + 1) * seeds))
        growth = None if found.growth is None else found.growth.max().item()
        if not found.value.isfinite() or (growth is not None and not growth < Guards().wary):
            if step == 0:
                raise Diverged(
                    f"loss {found.value.item():.3g} and Λ = {growth} at the start: training is chaotic, and a "
                    "gradient foretells nothing there; refine a trial with a lower learning rate or fewer steps"
                )
            kept = Refined(start, kept.hypers, kept.before, kept.held, ended=True)
            yield {"step": float(step)}, kept
            return
        kept = Refined(start, now, kept.before, kept.held)
        measured = {"step": float(step), "outer": found.value.item()}
        measured |= {} if growth is None else {"growth": growth}
        measured |= {"loss/held": fmean(kept.before.loss)} if step == 0 else {}
        yield measured, kept
        now, outer = outer.step(now, found.grads)
        now = capped(start.problem, now, start.ties)


def refiner(start: Callable[..., Start]) -> Callable[..., Iterator[Measured]]:
    """A training function that makes a Start of a trial's hyperparameters and descends from there.

    It takes what `start` takes, and the arguments of `descend`. It yields "outer" (the mean over a meta-iteration's
    seeds) and "growth" (Λ); first and last "loss/held", the outer loss on held-out seeds before and after; and last
    the figures of `Refined`. In `out` it leaves refined.png and refined.npz, the learned parts by name.
    """
    takes = inspect.signature(start).parameters
    named = [name for name, p in takes.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]

    def refine(
        *,
        refines: str = "",  # a note for whoever reads the record: the trial that is the start
        meta_lr: float = 0.03,
        meta_iterations: int = 30,
        seeds: int = 4,
        held: int = 16,
        seed: int = 0,
        device: str = "cpu",
        out: str | None = None,
        **params: Any,
    ) -> Iterator[Measured]:
        if "device" in named:
            params["device"] = device
        places = descend(
            start(**params),
            meta_lr=meta_lr,
            meta_iterations=meta_iterations,
            seeds=seeds,
            held=held,
            seed=seed,
        )
        last: Refined | None = None
        for measured, last in places:
            if last.ended or measured["step"] == meta_iterations:
                measured |= last.figures()
                print(_said(measured), flush=True)
            yield measured
        if out is not None and last is not None:
            _leave(Path(out), last)

    if len(named) == len(takes):  # with **anything there is nothing to tell
        refine.hypers = tuple(name for name in named if name != "device")  # type: ignore[attr-defined]
    return refine


def _said(measured: Measured) -> str:
    """What came of it, for the trial's log."""
    told = [
        f"{what} {measured[f'{name}/before']:.4g} before, {measured[f'{name}/after']:.4g} after "
        f"({-100 * measured[f'{name}/drop']:+.1f} ± {100 * measured[f'{name}/se']:.1f} %)"
        for name, what in (("held", "outer loss"), ("test", "test loss")) if f"{name}/before" in measured
    ]  # fmt: skip
    return "on seeds that were not learned on: " + "; ".join(told)


def _compared(name: str, before: list[float], after: list[float]) -> Measured:
    """Seeds are pairs: the same first weights and batches before and after."""
    down = [old - new for old, new in zip(before, after, strict=True)]
    mean = fmean(before)
    return {
        f"{name}/before": mean,
        f"{name}/after": fmean(after),
        f"{name}/drop": fmean(down) / mean,
        f"{name}/se": stdev(down) / len(down) ** 0.5 / mean,
    }


def _leave(out: Path, refined: Refined) -> None:
    out.mkdir(parents=True, exist_ok=True)
    parts, first = refined.hypers.parts(), refined.start.hypers.parts()
    arrays: dict[str, Any] = {name: part.cpu().numpy() for name, part in parts.items()}
    np.savez(out / "refined.npz", **arrays)
    _, axes, save = canvas(3.4 * (1 + len(parts)), 3.2, 1, 1 + len(parts))
    pairs, *panels = axes[0]
    before, after = refined.before, refined.after
    old, new = before.scores.get("loss/test", before.loss), after.scores.get("loss/test", after.loss)
    ends = (0.95 * min(*old, *new), 1.05 * max(*old, *new))
    pairs.plot(ends, ends, color="#999999", linewidth=1)
    pairs.plot(old, new, "o", color=GOOD, markersize=4)
    kind = "test loss" if "loss/test" in before.scores else "outer loss"
    pairs.set(xlabel=f"{kind} before", ylabel="after", title=f"{len(old)} held-out seeds")
    for axis, name in zip(panels, parts, strict=True):
        _draw_part(axis, name, first, parts, refined.start.problem.layout.groups)
    for axis in axes[0]:
        axis.grid(alpha=0.25)
    save(out / "refined.png")


def _draw_part(axis: Any, name: str, first: Parts, parts: Parts, groups: list[str]) -> None:
    was, now = (_lines(some[name]) for some in (first, parts))
    several = now.shape[1] == len(groups) > 1
    style = "-" if several else "o" if len(now) <= MARKED else "."
    for g in range(now.shape[1]):
        axis.plot(now[:, g], style, label=groups[g] if several and g < MOST else None, linewidth=1.3)
    axis.plot(was[:, 0], "--" if several else "_", color=BAD, label="before", linewidth=1.2)
    if len(now) == len(groups) <= MOST and not several:
        axis.set_xticks(range(len(groups)), groups)
    axis.set(title=name, xlabel="piece of the training" if several else "")
    axis.legend(frameon=False, fontsize=7)


def _lines(part: Tensor) -> np.ndarray:  # -> [rows, lines]
    return part.detach().double().cpu().reshape(len(part) if part.dim() else 1, -1).numpy()
