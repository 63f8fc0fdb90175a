"""Experiment 7: hypergradients refine the best trial of a random search.

In each split a random search draws 24 trials of `meta.plain` and its best one is refined, as `tuner refine` does.
Beside it, a random search goes on for as many trainings as the refinement cost, and trains the best ten of all again
on eight seeds before it chooses. Expected: on seeds that nobody learned or chose by, the refined trial has the lowest
test loss.

    for measured in train(): print(measured["step"], measured.get("test/drop"))
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from meta import plain
from meta.draw import BAD, GOOD, THIRD, canvas
from meta.experiments.loop import standard_error
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.refine import TRAINING, Measured, Refined, Start, descend
from meta.threads import one_thread

# As in searches/plain.toml; "float" is drawn evenly, the others by their logarithms.
RANGES = {"lr": (3e-2, 3.0), "momentum": (0.5, 0.95), "init_scale": (2e-2, 0.5), "l2": (1e-6, 1e-1)}
EVEN = ("momentum",)
# Of a gradient, in trainings: tape takes 4 to 5 times plain training (benchmarks/README.md).
COST = 5
AGAIN, AGAIN_SEEDS = 10, 8  # the long search trains its best again: one seed alone prefers the lucky
DRAWS = 10**9  # seeds of random trials, far from those of descents


@one_thread
def train(
    *,
    data: str = "digits",
    trials: int = 24,
    hidden: int = 32,
    steps: int = 100,
    batch: int = 50,
    pieces: int = 10,
    meta_lr: float = 0.03,
    meta_iterations: int = 30,
    seeds: int = 4,
    held: int = 16,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields a measurement for each split when it is done: means over the splits so far.

    "test/before", "test/after": test loss on the held-out seeds, "test/random" that of the longer random search.
    "test/drop" is the share by which refining lowered it; "se" is between splits. Also "error/..." and "held/..."
    (validation loss). Leaves refined.png in `out`.
    """
    rows: list[Row] = []
    for number in range(splits):
        split = seed * splits + number
        rng = np.random.default_rng(split)

        setting: dict[str, Any] = {
            "data": data, "split_seed": split, "hidden": hidden, "steps": steps, "batch": batch, "pieces": pieces
        }  # fmt: skip

        def begin(four: Mapping[str, Any], setting: dict[str, Any] = setting) -> Start:
            return plain.start(**{**setting, **four})

        drawn = [draw(rng) for _ in range(trials)]
        losses = _losses(begin({}), [begin(four).hypers for four in drawn], range(DRAWS, DRAWS + 1))
        start = begin(drawn[int(losses.argmin())])
        walk = [*descend(
            start, meta_lr=meta_lr, meta_iterations=meta_iterations, seeds=seeds, held=held, seed=split
        )]  # fmt: skip
        refined = walk[-1][1]
        more = [draw(rng) for _ in range(max(0, COST * seeds * len(walk) - AGAIN * AGAIN_SEEDS))]
        longer = _longest(begin({}), [begin(four).hypers for four in drawn + more])
        rows.append(Row(refined, start.judged(longer, refined.held).scores["loss/test"], walk))
        yield {"step": float(number), "growth": max(m.get("growth", 0.0) for m, _ in walk)} | _means(rows)
    if out is not None:
        _leave(Path(out), rows)


@dataclass(frozen=True, eq=False)
class Row:
    """One split. random: test losses of the longer random search's choice, on the same held-out seeds."""

    refined: Refined
    random: list[float]
    walk: list[tuple[Measured, Refined]]


def draw(rng: np.random.Generator) -> dict[str, float]:
    """The hyperparameters of a random trial."""
    drawn = {}
    for name, (low, high) in RANGES.items():
        even = name in EVEN
        value = rng.uniform(low, high) if even else math.exp(rng.uniform(math.log(low), math.log(high)))
        drawn[name] = float(value)
    return drawn


def _losses(start: Start, each: list[Hypers], seeds: range) -> torch.Tensor:  # -> [len(each)]
    """The outer loss of each, mean over the seeds; infinite where training diverged."""
    parts = [one.parts() for one in each]
    stacked = Hypers.of({name: torch.stack([one[name] for one in parts]) for name in parts[0]})
    found = hypergradient(start.problem, stacked, TRAINING, many=True, seeds=seeds, ties=start.ties)
    return found.value.nan_to_num(torch.inf, torch.inf)


def _longest(start: Start, each: list[Hypers]) -> Hypers:
    """The choice of a random search among these: the best on one seed, trained again on others."""
    order = _losses(start, each, range(DRAWS, DRAWS + 1)).argsort()[:AGAIN].tolist()
    again = _losses(start, [each[k] for k in order], range(DRAWS + 1, DRAWS + 1 + AGAIN_SEEDS))
    return each[order[int(again.argmin())]]


def _means(rows: list[Row]) -> Measured:
    each = [row.refined.figures() for row in rows]
    found = {name: fmean(one[name] for one in each) for name in each[0] if not name.endswith("/se")}
    found["test/random"] = fmean(fmean(row.random) for row in rows)
    if len(rows) > 1:
        found["se"] = standard_error([one["test/drop"] for one in each])
    return found


def _leave(out: Path, rows: list[Row]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _, axes, save = canvas(9, 3.4, 1, 2)
    losses, walk = axes[0]
    for number, row in enumerate(rows):
        scores = row.refined.before.scores["loss/test"], row.refined.after.scores["loss/test"], row.random
        for place, (values, colour) in enumerate(zip(scores, ("#777777", GOOD, BAD), strict=True)):
            at = number + 0.25 * (place - 1)
            losses.plot(np.full(len(values), at), values, "o", color=colour, markersize=3, alpha=0.6)
            losses.plot(
                [at - 0.09, at + 0.09],
                [fmean(values)] * 2,
                color=colour,
                linewidth=2.2,
                label=None if number else ("best of the search", "refined", "more random trials")[place],
            )
    losses.set(
        xticks=range(len(rows)), xlabel="split", ylabel="test loss, each held-out seed and mean", yscale="log"
    )
    losses.legend(frameon=False, fontsize=8)
    for number, row in enumerate(rows):
        measured = [m for m, _ in row.walk if "growth" in m]
        walk.plot(
            [m["step"] for m in measured],
            [m["growth"] for m in measured],
            color=(GOOD, BAD, THIRD)[number % 3],
            label=f"split {number}",
        )
    walk.set(xlabel="meta-iterations", ylabel="growth Λ")
    walk.legend(frameon=False, fontsize=8)
    for axis in axes[0]:
        axis.grid(alpha=0.25)
    save(out / "refined.png")
