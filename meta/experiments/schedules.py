"""Experiment 5: a learning rate and a momentum for each iteration and tensor, learned by their hypergradients.

Expected: from a start that is too slow the test loss falls by a tenth and more on seeds that were not learned on,
while Λ stays below 2; then Λ rises, and the guards end the run ("it improves at first and then hits chaos", as the
notebook has it). How far it falls depends on how bad the start is, so the best constant rate and momentum by
validation stand beside it: they are as good.

    for measured in train(): print(measured["step"], measured["growth"], measured.get("held/drop"))
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meta.draw import canvas
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, Place, descend, over_splits, standard_error
from meta.experiments.splits import Source
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.methods.truncated import Truncated
from meta.problem import Problem
from meta.problems.nets import network
from meta.threads import one_thread
from meta.train.chaos import Guards
from meta.train.optimisers import Adam, Outer

HELD = 1000  # from here on, seeds that are not learned on
RATES, MOMENTA = (0.1, 0.2, 0.4, 0.7, 1.2, 2.0, 3.5, 6.0), (0.5, 0.8, 0.9)
TRAINING = Truncated(1)  # where only the trained weights are of interest: a way back of one step


@one_thread
def train(
    *,
    data: str = "digits",
    hidden: int = 50,
    steps: int = 100,
    batch: int = 50,
    lr: float = 0.1,
    momentum: float = 0.5,
    init_scale: float = 0.1,
    train_examples: int = 1000,
    valid_examples: int = 0,
    seeds: int = 3,
    meta_lr: float = 0.1,
    meta_iterations: int = 30,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over the splits at the start and after each meta-iteration; a split that has ended stands still.

    A split ends when Λ of a seed passes Guards.wary, and keeps the schedule with the lowest validation loss. The last
    measurement adds "held/before" and "held/after": test loss of the first and of the kept schedule on as many seeds
    that were not learned on; "held/drop", the share by which it fell, and "held/se" between splits; "held/constant",
    of the best of 24 constant rates and momenta. "ended" is the share of splits that the guards ended.

    Leaves schedule.png, curves.png and schedules.npz in `out`.
    """
    source = Source(data, train_examples, valid_examples or None)
    walks = []
    for number in range(splits):
        few = source.split(seed * splits + number)
        problem = network(
            few.train, few.valid, (hidden, hidden), test=few.test, steps=steps, batch=batch,
            dynamics=HeavyBall(lr, momentum),
        )  # fmt: skip
        G = problem.layout.G
        start = Hypers(
            log_lr=torch.full((steps, G), math.log(lr)),
            logit_momentum=torch.full((steps, G), math.log(momentum / (1 - momentum))),
        )
        fixed = Hypers(log_init_scale=torch.full((G,), math.log(init_scale)))
        places = descend(
            problem, start, Outer(Adam(), meta_lr), meta_iterations, seeds=range(seeds), fixed=fixed
        )
        walks.append(Walk(problem, fixed, places))
    for step in range(meta_iterations + 1):
        for walk in walks:
            walk.go()
        measured = over_splits([walk.now for walk in walks]) | {"step": float(step)}
        if step == meta_iterations or all(walk.ended for walk in walks):
            yield measured | _held(walks, seeds)
            break
        yield measured
    if out is not None:
        _leave(Path(out), walks[0])


@dataclass(eq=False)
class Walk:
    """One split's descent, up to the guards."""

    problem: Problem
    fixed: Hypers
    places: Iterator[Place]
    seen: list[Place] = field(default_factory=list)
    ended: bool = False

    def go(self) -> None:
        """One meta-iteration, unless it has ended."""
        if self.ended:
            return
        place = next(self.places)
        growth = place.found.growth
        assert growth is not None
        calm = bool((growth < Guards().wary).all()) and bool(place.found.value.isfinite())
        if not calm and self.seen:
            self.ended = True
            return
        self.seen.append(place)

    @property
    def now(self) -> Place:
        """Where it stands."""
        return self.seen[-1]

    @property
    def best(self) -> Place:
        """By validation."""
        return min(self.seen, key=lambda place: place.found.value.item())

    def constant(self, seeds: int) -> Hypers:
        """The best constant rate and momentum, by the validation loss of the same seeds."""
        T, G = self.problem.steps, self.problem.layout.G
        grid = torch.cartesian_prod(torch.tensor(RATES).log(), torch.tensor(MOMENTA).logit())
        each = [_constant(T, G, *pair).parts() for pair in grid.tolist()]
        all_ = Hypers.of({name: torch.stack([parts[name] for parts in each]) for name in each[0]})
        found = hypergradient(self.problem, all_, TRAINING, many=True, seeds=range(seeds), fixed=self.fixed)
        return Hypers.of(each[int(found.value.nan_to_num(torch.inf, torch.inf).argmin())])

    def tested(self, hypers: Hypers, seeds: range) -> float:
        """The test loss of trainings with these seeds."""
        found = hypergradient(self.problem, hypers, TRAINING, seeds=seeds, fixed=self.fixed)
        assert self.problem.scores is not None
        return fmean(self.problem.scores(x)["loss/test"] for x in found.weights)


def _constant(T: int, G: int, log_lr: float, logit: float) -> Hypers:
    return Hypers(log_lr=torch.full((T, G), log_lr), logit_momentum=torch.full((T, G), logit))


def _held(walks: list[Walk], seeds: int) -> Measured:
    others = range(HELD, HELD + seeds)
    before = [walk.tested(walk.seen[0].hypers, others) for walk in walks]
    after = [walk.tested(walk.best.hypers, others) for walk in walks]
    drops = [1 - new / old for new, old in zip(after, before, strict=True)]
    measured = {"held/before": fmean(before), "held/after": fmean(after), "held/drop": fmean(drops)}
    measured["held/constant"] = fmean(walk.tested(walk.constant(seeds), others) for walk in walks)
    if len(drops) > 1:
        measured["held/se"] = standard_error(drops)
    return measured | {
        "ended": fmean(walk.ended for walk in walks),
        "growth": max(
            walk.best.found.growth.max().item() for walk in walks if walk.best.found.growth is not None
        ),
    }


def _leave(out: Path, walk: Walk) -> None:
    out.mkdir(parents=True, exist_ok=True)
    first, best = walk.seen[0], walk.best
    names = walk.problem.layout.groups
    _, axes, save = canvas(11, 7, 2, 2, sharex=True)
    rates = [(best.hypers.log_lr, "log learning rate"), (best.hypers.logit_momentum, "logit of the momentum")]
    for axis, (part, said) in zip(axes[0], rates, strict=True):
        assert part is not None
        for g, name in enumerate(names):
            axis.plot(part[:, g].numpy(), label=name, linewidth=1.4)
        axis.set_title(f"{said} after {best.step} meta-iterations", fontsize=10)
        axis.legend(frameon=False, fontsize=8, ncol=2)
    for axis, place, said in ((axes[1, 0], first, "at the start"), (axes[1, 1], best, "at the end")):
        part = place.found.grads.log_lr
        assert part is not None
        for g, name in enumerate(names):
            axis.plot(part[:, g].numpy(), label=name, linewidth=1.2)
        axis.set_title(f"gradient by log learning rate {said}", fontsize=10)
        axis.set_xlabel("inner step")
    for axis in axes.flat:
        axis.grid(alpha=0.25)
    save(out / "schedule.png")
    _, axes, save = canvas(5, 3.4, 1)
    for place, said in ((first, "before"), (best, "after")):
        axes[0, 0].plot(_smooth(place.found.curves["inner"].mean(0)), label=said, linewidth=1.4)
    axes[0, 0].set(xlabel="inner step", ylabel="training loss, means over 5 steps", yscale="log")
    axes[0, 0].legend(frameon=False)
    axes[0, 0].grid(alpha=0.25)
    save(out / "curves.png")
    arrays: dict[str, Any] = {name: part.numpy() for name, part in best.hypers.parts().items()}
    np.savez(out / "schedules.npz", **arrays)


def _smooth(curve: Tensor) -> np.ndarray:
    return np.convolve(curve.numpy(), np.ones(5) / 5, mode="valid")
