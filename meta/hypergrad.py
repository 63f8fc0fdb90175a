"""The public entry point: the gradient of an outer loss with respect to hyperparameters."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from meta.hypers import Hypers, Parts
from meta.inner import memory
from meta.inner.steps import Inner
from meta.inner.ties import Ties
from meta.methods.choice import choose, requested
from meta.methods.evolution import Evolution
from meta.methods.method import Method, Slope
from meta.methods.reversible import NotReversed
from meta.problem import Problem
from meta.purity import check_functions
from meta.refusals import check, device_of, dtype_of
from meta.result import Result


def hypergradient(
    problem: Problem,
    hypers: Hypers,
    method: str | Method = "auto",
    *,
    seeds: Sequence[int] = (0,),
    precision: str = "float32",
    ties: Ties | None = None,
    fixed: Hypers | None = None,
    many: bool = False,
    chunk_size: int | None = None,
    memory_limit: int | None = None,
) -> Result:
    """The outer loss after `problem.steps` steps of training, and its gradient by every part of `hypers`.

    method: a name of meta.methods.choice.METHODS, one of their values (Checkpoint(segment=32)), or "auto": by
    estimated memory and the number of hyperparameters; Result.why gives the choice and the reason.
    seeds: one training for each; value and grads are means over them.
    precision: "float32" or "float64", for weights, gradients and adjoints.
    ties: see meta.inner.ties. fixed: parts that the training uses as well, without gradients.
    many: every part has an axis of K settings in front, and so has the result.
    chunk_size: the number of the K × len(seeds) runs that share one vmap; fewer take less memory.
    memory_limit: bytes that may be used; by default half of the free memory.

    Raises ValueError, before any training, when arguments do not fit together, a function of the problem is not pure,
    no loss depends on a part, or the method does not support the request; and NotReversed when a reversed training
    does not end at its first weights.
    """
    parts, given = hypers.parts(), fixed.parts() if fixed is not None else {}
    dtype, device = dtype_of(precision), device_of(problem, seeds)
    ties = dict(ties or {})
    settings = check(problem, parts, given, ties, many, device)
    runs = settings * len(seeds)
    limit = memory_limit if memory_limit is not None else memory.available(device) // 2
    parts = {name: part.detach().to(dtype) for name, part in parts.items()}
    given = {name: part.detach().to(dtype) for name, part in given.items()}

    lone = Inner(problem, (seeds[0],), None, dtype, device, ties, given)
    first = {name: part[0] if many else part for name, part in parts.items()}
    asked = None if method == "auto" else requested(method, lone, first)
    check_functions(lone, first, derivative=not isinstance(asked, Evolution))
    chosen, chunk, why = choose(method, lone, first, runs, chunk_size, limit)

    slopes, norms = [], []
    began = time.perf_counter()
    with memory.peak(device) as peak:
        for start in range(0, runs, chunk):
            setting, seed = zip(
                *(divmod(run, len(seeds)) for run in range(runs)[start : start + chunk]), strict=True
            )
            some = {name: _rows(part, setting, many) for name, part in parts.items()}
            slope, norm = _run(chosen, lone, some, tuple(seeds[s] for s in seed))
            _check_reversed(slope)
            slopes.append(slope)
            norms.append(norm)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    ms = 1e3 * (time.perf_counter() - began) / (runs * problem.steps)

    shape = (settings, len(seeds)) if many else (len(seeds),)
    axis = len(shape) - 1

    def runs_of(each: list[Tensor]) -> Tensor:  # [chunk, ...] of each chunk -> [K, S, ...] or [S, ...]
        whole = torch.cat(each)
        return whole.view(*shape, *whole.shape[1:])

    values = runs_of([slope.value for slope in slopes])
    seed_grads = {name: runs_of([slope.parts[name] for slope in slopes]) for name in parts}
    growths = [slope.growth for slope in slopes if slope.growth is not None]
    figures = {name: runs_of([slope.figures[name] for slope in slopes]) for name in slopes[0].figures}
    exacts = [slope.exact for slope in slopes if slope.exact is not None]
    bits = [slope.bits for slope in slopes if slope.bits is not None]
    return Result(
        value=values.mean(axis),
        grads=Hypers.of({name: part.mean(axis) for name, part in seed_grads.items()}),
        seed_values=values,
        seed_grads=Hypers.of(seed_grads),
        weights=runs_of([slope.x for slope in slopes]),
        curves={"inner": runs_of([slope.losses for slope in slopes])},
        growth=runs_of(growths) if growths else None,
        inner_grad_norm=runs_of(norms),
        peak_bytes=peak.bytes,
        ms=ms,
        bits=max(bits) if bits else None,
        exact=bool(torch.cat(exacts).all()) if exacts else None,
        figures=figures,
        method=chosen.name,
        why="; ".join([why, *dict.fromkeys(slope.note for slope in slopes if slope.note)]),
    )


def _run(method: Method, lone: Inner, parts: Parts, seeds: tuple[int, ...]) -> tuple[Slope, Tensor]:
    """A chunk of runs, every tensor with the runs' axis in front; a chunk of one goes without vmap."""
    alone = len(seeds) == 1
    inner = replace(lone, seeds=seeds, runs=None if alone else len(seeds))
    some = {name: part[0] for name, part in parts.items()} if alone else parts
    slope = method(inner, some)
    with torch.no_grad():
        norm = inner.gradient(inner.T, slope.x, inner.expand(some).theta)[0].norm(dim=-1)
    if not alone:
        return replace(slope, losses=slope.losses.movedim(0, -1)), norm
    return slope.with_axis(), norm[None]


def _check_reversed(slope: Slope) -> None:
    """Raises NotReversed where a training stayed in range and its way back ended elsewhere than it began."""
    if slope.exact is None:
        return
    missed = ~slope.exact & slope.x.isfinite().all(-1)
    if count := int(missed.sum()):
        raise NotReversed(
            f"reversible: {count} of {missed.numel()} runs did not return to the first weights bit for bit, so the "
            "gradient would be wrong: inner_loss or batch gave other bits on the way back. On a GPU call "
            "torch.use_deterministic_algorithms(True); else see that both are pure at every step, or give "
            'method="tape", which asks for less'
        )


def _rows(part: Tensor, settings: Sequence[int], many: bool) -> Tensor:  # -> [runs, *shape]
    return part[list(settings)] if many else part.expand(len(settings), *part.shape)
