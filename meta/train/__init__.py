"""Learning of hyperparameters by hypergradients, as a generator of measurements that any loop can run.

    for measured in train(seed=0, learn="log_lr,log_l2", steps=100):
        print(measured["step"], measured.get("loss/valid"), measured.get("growth"))

From a shell: python -m meta.train --set steps=50 --set meta_iterations=10 --seed 0
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch.fx.experimental.symbolic_shapes  # noqa: F401  vmapped losses import it, 2 s: better in a fork server

from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.methods.evolution import Evolution
from meta.result import Result
from meta.threads import one_thread
from meta.train.caps import capped
from meta.train.chaos import ACTIONS, Diverged, Guards, Verdict, Watch, sight
from meta.train.config import Config
from meta.train.optimisers import Outer, clipped, outer
from meta.train.setup import Setup, begin

LEARNED = "hypers.npz"
# Where gradients are those of wiggles: 32 trainings, eight times the cost of a way forth and back.
SMOOTHING = Evolution(pairs=16)
OF_LOSSES = ("loss/", "error/", "gap", "outer", "se")
STRIDE = 1_000_003  # between the seeds of two meta-trainings: a prime far above any number of seeds

Measured = dict[str, float]


@one_thread
def train(
    *,
    seed: int = 0,
    device: str = "cpu",
    out: str | None = None,
    say: Callable[[str], None] = partial(print, flush=True),
    **hypers: Any,
) -> Iterator[Measured]:
    """Yields measurements once per meta-iteration; it can't be stopped within one.

    "step" counts meta-iterations from 1. "loss/train", "loss/valid", "loss/test" and "error/..." are after the inner
    training, means over the seeds; "gap" is test minus valid loss: how far the validation set was overfitted.
    "outer" is what is minimised and "se" its standard error over the seeds. "grad/log_lr" and so on are the norms of
    the meta-gradient by kind, "cosine" is that with the last one, "growth" Λ. "ms_per_step", "peak_mb", "bits" and
    "exact" are its costs and whether it was reversed exactly. "inner_steps" is T, "meta_scale" what is left of the
    meta step, and "guard" what the guards answered, as a place in meta.train.chaos.ACTIONS. What is not known is left
    out, and so are losses of hyperparameters that the guards reject while there are better ones.

    The last measurement is of the hyperparameters that are kept in hypers.npz, in the folder `out`, which is also
    written when the generator is closed.

    `hypers` are the names of meta.train.config. Raises ValueError or FileNotFoundError before the first training if
    something is wrong with them, `device` or the data, and Diverged when the outer loss is not finite or chaotic
    beyond the guards' means.
    """
    config = Config.of(hypers)
    setup = begin(config, device)
    now = Place(setup.hypers(), outer(config.meta_optimizer, config.meta_lr, config.trust))
    now = replace(now, hypers=_capped(config, setup, now.hypers))
    guards = Guards(shortest=max(Guards().shortest, setup.shortest))
    watch, smooth, good, last = Watch(), False, None, None
    kept: Hypers | None = None
    try:
        for step in range(1, config.meta_iterations + 1):
            found = _gradient(setup, now.hypers, _seeds(config, seed, step), smooth)
            seen = sight(found, setup.steps, *_secant(config, good, now, found))
            verdict, watch = watch.see(seen, guards) if config.guards else (Verdict("go"), watch)
            rejected = verdict.action not in ("go", "clip")
            measured = {"step": step} | _measure(setup, found, last)
            measured |= {"inner_steps": setup.steps, "meta_scale": verdict.scale}
            measured |= {"guard": ACTIONS.index(verdict.action)}
            if rejected and (kept is not None or not math.isfinite(seen.value)):
                measured = {name: x for name, x in measured.items() if not name.startswith(OF_LOSSES)}
            if verdict.action != "go":
                say(f"meta-iteration {step}: {verdict.action}: {verdict.why}")
            if not rejected:
                good = replace(now, found=found, grads=clipped(found.grads, verdict.clip))
                last, kept = found.grads, now.hypers
            yield measured

            if not config.guards and not math.isfinite(seen.value):
                raise Diverged(f"outer loss became {seen.value} at meta-iteration {step}")
            match verdict.action:
                case "go" | "clip" | "back":
                    assert good is not None  # the guards go back only where there was a good place
                    now = good.onwards(verdict.scale)
                    now = replace(now, hypers=_capped(config, setup, now.hypers))
                case "shorten":
                    setup, shorter = setup.shortened((good or now).hypers)
                    now = Place(shorter, outer(config.meta_optimizer, config.meta_lr, config.trust))
                    good, last = None, None
                case "smooth":
                    now = replace(good or now, found=None, grads=None)
                case "stop":
                    raise Diverged(
                        f"{verdict.why} (meta-iteration {step}; begin with a lower lr or fewer steps)"
                    )
            smooth = verdict.smooth
    finally:
        if out is not None and kept is not None:
            save(Path(out), kept)


@dataclass(frozen=True, eq=False)
class Place:
    """Hyperparameters, the outer optimiser's state, and the result of `hypergradient` there."""

    hypers: Hypers
    outer: Outer
    found: Result | None = None
    grads: Hypers | None = None  # of `found`, perhaps clipped

    def onwards(self, scale: float) -> "Place":
        """The place after one outer step from here, its length multiplied by `scale`."""
        assert self.grads is not None
        return Place(*self.outer.step(self.hypers, self.grads, scale))


def save(folder: Path, hypers: Hypers) -> None:
    """hypers.npz, an array for each part as it was learned (rates and momenta with a row for each tied piece)."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / (LEARNED + ".part")
    with unfinished.open("wb") as file:
        arrays: dict[str, Any] = {name: part.cpu().numpy() for name, part in hypers.parts().items()}
        np.savez(file, **arrays)
    unfinished.replace(folder / LEARNED)


def _gradient(setup: Setup, hypers: Hypers, seeds: range, smooth: bool) -> Result:
    config = setup.config
    return hypergradient(
        setup.problem, hypers, SMOOTHING if smooth else config.chosen(), seeds=seeds, ties=setup.ties,
        fixed=setup.fixed, precision=config.precision, chunk_size=config.side_by_side or None,
    )  # fmt: skip


def _seeds(config: Config, seed: int, step: int) -> range:
    first = seed * STRIDE + (step * config.seeds if config.resample else 0)
    return range(first, first + config.seeds)


def _capped(config: Config, setup: Setup, hypers: Hypers) -> Hypers:
    return capped(setup.problem, hypers, setup.ties) if config.l2_cap else hypers


def _secant(config: Config, good: Place | None, now: Place, found: Result) -> tuple[float, float]:
    """The change of the loss since the last good place, as the gradients of both ends foretell it, and as it came.

    NaN where they can't be compared: other seeds see another loss.
    """
    if config.resample or good is None or good.found is None:
        return math.nan, math.nan
    came = (found.value - good.found.value).item()
    if found.method != good.found.method:  # one of the two is of a smoothed loss
        return math.nan, came
    moved = now.hypers + -1.0 * good.hypers
    foretold = 0.5 * (good.found.grads.dot(moved) + found.grads.dot(moved))
    return foretold.item(), came


def _measure(setup: Setup, found: Result, last: Hypers | None) -> Measured:
    scores = setup.problem.scores
    assert scores is not None
    each = [scores(x) for x in found.weights]
    measured = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
    measured |= {"gap": measured["loss/test"] - measured["loss/valid"], "outer": found.value.item()}
    if len(each) > 1:
        measured["se"] = found.seed_values.std().item() / len(each) ** 0.5
    for name, part in found.grads.parts().items():
        measured[f"grad/{name}"] = part.double().norm().item()
    if last is not None:
        measured["cosine"] = (found.grads.dot(last) / (found.grads.norm() * last.norm())).item()
    told = {
        "growth": None if found.growth is None else found.growth.max().item(),
        "ms_per_step": found.ms,
        "peak_mb": None if found.peak_bytes is None else found.peak_bytes / 2**20,
        "bits": found.bits,
        "exact": None if found.exact is None else float(found.exact),
    }
    return measured | {name: x for name, x in told.items() if x is not None}


train.hypers = Config.names()  # what `tuner check` lets a search name
