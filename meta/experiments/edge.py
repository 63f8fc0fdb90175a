"""Experiment 6: the edge of chaos, along a log learning rate or a log scale of the first weights.

The notebook: "the actual loss looks very smooth but the gradient still goes crazy. It could be numerical instability
or it could conceivably be that the apparent smoothness goes away on a sufficiently small length scale. Testing this
would be hard." Here it is tested. The gradient is compared with differences at two length scales: over the spacing
of the values (is it of use?), and over 1e-7 in float64 (is it right?). And trainings are held in three arithmetics:
float32, float64, and weights that are integers in units of 2^-52, whose training is run backwards bit for bit. If the
wiggles came from rounding, the three would draw different ones. Expected: beyond the edge they draw the same, and the
gradient is right and useless.

Two quantities foretell of which use a hypergradient is, each at a value z from what a training gives anyway:

    Λ = log ‖dE/dx₀‖ − log ‖dE/dx_T‖
    S = Σ |δ| sign(δ) sign(δ′) / Σ |δ|,    δ = x_T(z) − x_T(z−h),  δ′ = x_T(z+h) − x_T(z)

Λ comes free with the gradient. S, from −1 to 1, is the metasmoothness of Engstrom et al. 2025: do the trained weights
keep moving the same way? It takes two more trainings a value; here the neighbouring values give them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from meta.draw import BAD, GOOD, THIRD, canvas
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured
from meta.experiments.splits import Source
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.inner.ties import constant
from meta.methods.method import Method
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.problem import Problem
from meta.problems.nets import network
from meta.result import Result
from meta.threads import one_thread
from meta.train.chaos import Guards

Array = NDArray[np.float64]
FINE = 1e-7  # in float64: far below the wiggles of length e^−Λ, far above rounding magnified by e^Λ
LOST = 12.0  # Λ from which e^Λ times float64's rounding is no longer small beside the difference
FACTOR = 2.0  # of use: the right sign, and not off by more
ARITHMETICS: dict[str, tuple[str, Method]] = {  # precision of the gradients, and what the weights are held in
    "float32": ("float32", Tape()),
    "float64": ("float64", Tape()),
    "integers": ("float64", Reversible()),
}


@one_thread
def train(
    *,
    data: str = "digits",
    of: str = "lr",
    steps: int = 100,
    hidden: int = 32,
    low: float = -3.0,
    high: float = 3.0,
    values: int = 64,
    seeds: int = 3,
    lr: float = 0.3,
    init_scale: float = 0.2,
    batch: int = 50,
    train_examples: int = 1000,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields once, when all `values` × `seeds` trainings are done.

    of: "lr" or "init_scale", whose log goes from `low` to `high`; the other one is fixed. "useful" is the share of
    runs whose gradient foretells the change to the neighbouring values; "auc/growth" and "auc/smoothness" say how
    well Λ and S tell useful ones from others (1 perfectly, .5 by chance); "edge" is the smallest value with Λ above
    Guards.chaotic. Of gradients beyond it "wrong/float64" is the median relative error against fine differences, and
    "wrong/float32" and "wrong/integers" that against float64's. "apart/float32" and "apart/integers" say by how much
    the loss differs from float64's there, as a share of its change to the next value, in the median.
    Leaves edge.png, zoom.png and edge.npz in `out`.
    """
    if of not in ("lr", "init_scale"):
        raise ValueError(f"of = {of!r}: choose lr or init_scale")
    few = Source(data, train_examples).split(seed)
    problem = network(few.train, few.valid, (hidden,), steps=steps, batch=batch, dynamics=HeavyBall(lr, 0.9))
    axis = Axis(problem, of, math.log(init_scale), tuple(range(seed * seeds, (seed + 1) * seeds)))
    at = np.linspace(low, high, values)
    seen = Seen.of(at, axis.look(at, "float32"))
    yield seen.measured() | _beyond(axis, seen)
    if out is not None:
        _leave(Path(out), axis, seen)


@dataclass(frozen=True, eq=False)
class Axis:
    """The trainings along one log hyperparameter, the same for all groups and steps."""

    problem: Problem
    of: str
    log_init_scale: float
    seeds: tuple[int, ...]

    def look(self, at: Array, arithmetic: str, seeds: tuple[int, ...] | None = None) -> Result:
        """All values and seeds in one call."""
        precision, method = ARITHMETICS[arithmetic]
        G, T = self.problem.layout.G, self.problem.steps
        z = torch.from_numpy(at)[:, None].expand(len(at), G)
        scale = torch.full((G,), self.log_init_scale, dtype=torch.float64)
        hypers, ties, fixed = Hypers(log_lr=z[:, None]), {"log_lr": constant(T)}, Hypers(log_init_scale=scale)
        if self.of == "init_scale":
            hypers, ties, fixed = Hypers(log_init_scale=z), {}, None
        return hypergradient(
            self.problem, hypers, method, many=True, seeds=seeds or self.seeds, ties=ties, fixed=fixed,
            precision=precision,
        )  # fmt: skip

    def slopes(self, found: Result) -> Array:  # [K, S]
        """The derivative by the one value."""
        part = next(iter(found.seed_grads.parts().values()))
        return part.double().flatten(2).sum(2).numpy()


@dataclass(frozen=True, eq=False)
class Seen:
    """Of each value and seed, [K, S]; differences and S are NaN at both ends."""

    at: Array  # [K]
    loss: Array
    slope: Array
    difference: Array
    growth: Array
    smoothness: Array

    @classmethod
    def of(cls, at: Array, found: Result) -> "Seen":
        loss, x = found.seed_values.double().numpy(), found.weights.double().numpy()
        part = next(iter(found.seed_grads.parts().values()))
        slope = part.double().flatten(2).sum(2).numpy()
        assert found.growth is not None
        difference = np.full_like(loss, np.nan)
        with np.errstate(invalid="ignore"):
            difference[1:-1] = (loss[2:] - loss[:-2]) / (at[2:] - at[:-2])[:, None]
        return cls(at, loss, slope, difference, found.growth.double().numpy(), metasmoothness(x))

    @property
    def useful(self) -> NDArray[np.bool_]:
        """The gradient has the sign of the difference, and its size within FACTOR."""
        with np.errstate(all="ignore"):
            ratio = self.slope / self.difference
            return (ratio > 1 / FACTOR) & (ratio < FACTOR)

    def measured(self) -> Measured:
        """The figures that one trial reports."""
        inner = slice(1, -1)
        useful = self.useful[inner].ravel()
        growth = np.nan_to_num(self.growth[inner].ravel(), nan=np.inf)
        rough = np.nan_to_num(-self.smoothness[inner].ravel(), nan=1.0)
        finite = np.where(np.isfinite(self.loss), self.loss, np.inf).mean(1)
        measured = {
            "step": 1.0,
            "loss/valid": float(finite.min()),
            "useful": float(useful.mean()),
            "auc/growth": area(growth, ~useful),
            "auc/smoothness": area(rough, ~useful),
        }
        flagged = np.nan_to_num(self.growth, nan=np.inf).max(1) > Guards().chaotic
        if flagged.any():
            measured["edge"] = float(self.at[flagged.argmax()])
        calm = np.nan_to_num(self.growth[inner], nan=np.inf) < Guards().wary
        measured["useful/calm"] = float(self.useful[inner][calm].mean()) if calm.any() else math.nan
        return measured


def metasmoothness(x: Array) -> Array:
    """S of trained weights at evenly spaced values, [K, S, P] -> [K, S]."""
    with np.errstate(all="ignore"):
        steps = np.diff(x, axis=0)
        before, after = steps[:-1], steps[1:]
        same = (np.abs(before) * np.sign(before) * np.sign(after)).sum(-1) / np.abs(before).sum(-1)
    whole = np.full(x.shape[:2], np.nan)
    whole[1:-1] = same
    return whole


def area(score: Array, positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve: the chance that a positive has the higher score, ties half (Mann-Whitney)."""
    if positive.all() or not positive.any():
        return math.nan
    yes, no = score[positive], score[~positive]
    above = (yes[:, None] > no[None, :]).mean()
    return float(above + 0.5 * (yes[:, None] == no[None, :]).mean())


def _beyond(axis: Axis, seen: Seen) -> Measured:
    """Are gradients beyond the edge right, and is the loss the same in each arithmetic? Of one seed."""
    growth = seen.growth[:-1, 0]  # each value has a next one
    rows = np.flatnonzero((growth > Guards().chaotic) & (growth < LOST))[:8]
    if not len(rows):
        return {}
    there, n = seen.at[rows], len(rows)
    found = {name: axis.look(there, name, axis.seeds[:1]) for name in ARITHMETICS}
    loss = {name: one.seed_values[:, 0].double().numpy() for name, one in found.items()}
    slope = {name: axis.slopes(one)[:, 0] for name, one in found.items()}
    around = axis.look(np.concatenate([there + FINE, there - FINE]), "float64", axis.seeds[:1]).seed_values[
        :, 0
    ]
    fine = ((around[:n] - around[n:]) / (2 * FINE)).numpy()
    step = np.abs(seen.loss[rows + 1, 0] - seen.loss[rows, 0])
    measured = {"wrong/float64": _median(slope["float64"] - fine, fine)}
    for name in ("float32", "integers"):
        measured[f"wrong/{name}"] = _median(slope[name] - slope["float64"], slope["float64"])
        measured[f"apart/{name}"] = _median(loss[name] - loss["float64"], step)
    return measured


def _median(difference: Array, of: Array) -> float:
    return float(np.median(np.abs(difference) / np.abs(of)))


# ── pictures ──


def _leave(out: Path, axis: Axis, seen: Seen) -> None:
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "edge.npz", **vars(seen))
    said = {"lr": "log learning rate", "init_scale": "log scale of the first weights"}[axis.of]
    figure, axes, save = canvas(7.5, 8.5, 4, sharex=True)
    (a,), (b,), (c,), (d,) = axes
    for s in range(seen.loss.shape[1]):
        a.plot(seen.at, seen.loss[:, s], color=GOOD, alpha=0.7, linewidth=1.2)
        b.plot(
            seen.at,
            seen.slope[:, s],
            color=GOOD,
            alpha=0.7,
            linewidth=1.2,
            label="" if s else "hypergradient",
        )
        b.plot(
            seen.at,
            seen.difference[:, s],
            ".",
            color=BAD,
            alpha=0.6,
            markersize=3,
            label="" if s else "difference",
        )
        c.plot(seen.at, seen.growth[:, s], color=THIRD, alpha=0.8, linewidth=1.2)
        d.plot(seen.at, seen.smoothness[:, s], color=THIRD, alpha=0.8, linewidth=1.2)
    a.set(yscale="log", ylabel="validation loss")
    b.set_yscale("symlog", linthresh=0.1)
    b.set(ylabel="derivative of it", ylim=(-1e4, 1e4), yticks=[-1e4, -1e2, -1, 0, 1, 1e2, 1e4])
    b.legend(frameon=False, fontsize=8)
    c.set(ylabel="growth Λ", ylim=(-4, 20))
    for level, grey in ((Guards().wary, "#999999"), (Guards().chaotic, "#555555")):
        c.axhline(level, color=grey, linewidth=0.8)
    d.set(ylabel="metasmoothness", ylim=(-1.05, 1.05), xlabel=said)
    flagged = np.nan_to_num(seen.growth, nan=np.inf).max(1) > Guards().chaotic
    half = (seen.at[1] - seen.at[0]) / 2
    for line in axes[:, 0]:
        for z in seen.at[flagged]:
            line.axvspan(z - half, z + half, color=BAD, alpha=0.1, linewidth=0)
        line.grid(alpha=0.25)
    figure.suptitle(f"T = {axis.problem.steps}; shaded: Λ > {Guards().chaotic:g} for a seed", fontsize=10)
    save(out / "edge.png")
    _zoom(out / "zoom.png", axis, seen, said)


def _zoom(path: Path, axis: Axis, seen: Seen, said: str) -> None:
    """Three magnifications of one seed's loss around a value beyond the edge, in each arithmetic, with slopes."""
    growth = np.where(np.isfinite(seen.growth[:, 0]), seen.growth[:, 0], np.inf)
    there = np.flatnonzero((growth > Guards().chaotic) & (growth < LOST) & np.isfinite(seen.loss[:, 0]))
    if not len(there):
        return
    k = there[len(there) // 2]
    _, axes, save = canvas(11, 3.2, 1, 3)
    for panel, width in zip(axes[0], (0.3, 0.03, 60 * math.exp(-growth[k]) * 1e-2), strict=True):
        at = seen.at[k] + np.linspace(-width / 2, width / 2, 64)
        some = {"float32": at, "float64": at, "integers": at[::4]}
        found = {name: axis.look(z, name, axis.seeds[:1]) for name, z in some.items()}
        for name, sign, colour in (("float32", ".", BAD), ("integers", "+", THIRD)):
            losses = found[name].seed_values[:, 0].numpy()
            where = some[name] - seen.at[k]
            panel.plot(where, losses, sign, color=colour, markersize=4, label=name)
        y, slope = found["float64"].seed_values[:, 0].numpy(), axis.slopes(found["float64"])[:, 0]
        panel.plot(at - seen.at[k], y, color=GOOD, linewidth=1.2, label="float64")
        reach = width / 90
        for z, v, m in zip(at[::4] - seen.at[k], y[::4], slope[::4], strict=True):
            panel.plot([z - reach, z + reach], [v - m * reach, v + m * reach], color="#222222", linewidth=1)
        panel.set_title(f"a range of {width:.2g}", fontsize=9)
        panel.grid(alpha=0.25)
        low, high = np.nanmin(y), np.nanmax(y)
        panel.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
        panel.ticklabel_format(axis="x", style="sci", scilimits=(-2, 2))
        panel.set_xlabel(f"{said} − {seen.at[k]:.3f}")
    axes[0][0].set_ylabel(f"validation loss (Λ = {growth[k]:.1f})")
    axes[0][0].legend(frameon=False, fontsize=8)
    save(path)
