"""The one door: the exact gradient of an outer loss by anything that shaped the training."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from meta import memory
from meta.auto import choose
from meta.hypers import SCHEDULES, Hypers, Parts
from meta.inner import Inner
from meta.methods.method import Method, Slope
from meta.problem import Problem
from meta.result import Result
from meta.ties import Ties

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def hypergradient(
    problem: Problem,
    hypers: Hypers,
    method: str | Method = "auto",
    *,
    seeds: Sequence[int] = (0,),
    precision: str = "float32",
    ties: Ties | None = None,
    many: bool = False,
    chunk_size: int | None = None,
    memory_limit: int | None = None,
) -> Result:
    """The outer loss after `problem.steps` steps of training, and its gradient by every part of `hypers`.

    method: a name of meta.auto.METHODS, one of their values (Checkpoint(segment=32)), or "auto": by estimated
    memory and the number of hyperparameters; Result.why says what it chose and why.
    seeds: each is a training of its own; value and grads are their means.
    precision: "float32" or "float64", for weights, gradients and adjoints.
    ties: see meta.ties. many: every part has an axis of K settings in front, and so has the result.
    chunk_size: how many of the K × len(seeds) runs go side by side in one vmap; fewer take less memory.
    memory_limit: bytes that may be taken; by default half of what is free.

    Raises ValueError, before any training, when something does not fit together or the method can't do it.
    """
    parts = hypers.parts()
    dtype, device = _dtype(precision), problem.init(seeds[0]).device if seeds else None
    if device is None:
        raise ValueError("seeds: there are none; give at least one, as seeds=(0,)")
    ties = dict(ties or {})
    settings = _check(problem, parts, ties, many, device)
    runs = settings * len(seeds)
    limit = memory_limit if memory_limit is not None else memory.available(device) // 2
    parts = {name: part.detach().to(dtype) for name, part in parts.items()}
    by_run = {name: _rows(part, settings, len(seeds), many) for name, part in parts.items()}
    seed_of = list(seeds) * settings

    lone = Inner(problem, (seeds[0],), None, dtype, device, ties)
    first = {name: part[0] for name, part in by_run.items()}
    chosen, chunk, why = choose(method, lone, first, runs, chunk_size, limit)

    slopes, norms = [], []
    began = time.perf_counter()
    with memory.peak(device) as peak:
        for start in range(0, runs, chunk):
            rows = slice(start, start + chunk)
            some = {name: part[rows] for name, part in by_run.items()}
            slope, norm = _run(chosen, problem, some, tuple(seed_of[rows]), dtype, device, ties)
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
        method=chosen.name,
        why=why,
    )


def _run(
    method: Method,
    problem: Problem,
    parts: Parts,
    seeds: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    ties: Ties,
) -> tuple[Slope, Tensor]:
    """A chunk of runs, every tensor with the runs' axis in front; a chunk of one goes without vmap."""
    alone = len(seeds) == 1
    inner = Inner(problem, seeds, None if alone else len(seeds), dtype, device, ties)
    some = {name: part[0] for name, part in parts.items()} if alone else parts
    slope = method(inner, some)
    with torch.no_grad():
        norm = inner.gradient(inner.T, slope.x, inner.expand(some).theta)[0].norm(dim=-1)
    losses = slope.losses if alone else slope.losses.movedim(0, -1)
    if not alone:
        return Slope(slope.value, slope.parts, slope.x, losses, slope.growth, slope.bits, slope.exact), norm
    rows = {name: part[None] for name, part in slope.parts.items()}
    growth = None if slope.growth is None else slope.growth[None]
    exact = None if slope.exact is None else slope.exact[None]
    return Slope(slope.value[None], rows, slope.x[None], losses[None], growth, slope.bits, exact), norm[None]


def _rows(
    part: Tensor, settings: int, seeds: int, many: bool
) -> Tensor:  # -> [K S, *shape], the seeds fastest
    return part.repeat_interleave(seeds, 0) if many else part.expand(settings * seeds, *part.shape)


def _dtype(precision: str) -> torch.dtype:
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} is unknown; give one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def _check(problem: Problem, parts: Parts, ties: Ties, many: bool, device: torch.device) -> int:
    """The number of settings, K."""
    if not parts:
        raise ValueError(
            "hypers: every part is None, there is nothing to differentiate by; give at least one"
        )
    for name in ties:
        if name not in parts:
            raise ValueError(
                f"ties: {name!r} is tied, but hypers has no such part; it has {', '.join(parts)}"
            )
    for name, part in parts.items():
        if not part.is_floating_point():
            raise ValueError(f"hypers.{name}: is {part.dtype}; a gradient needs real numbers, give floats")
        if part.device != device:
            raise ValueError(
                f"hypers.{name}: lies on {part.device}, the problem on {device}; move one of them"
            )
        if many and not part.dim():
            raise ValueError(f"hypers.{name}: has no axes; with many=True the first one counts the settings")
    counts = {name: part.shape[0] if many else 1 for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {n}" for name, n in counts.items())
        raise ValueError(
            f"hypers: with many=True every part starts with the same number of settings; got {said}"
        )
    settings = next(iter(counts.values()))
    if settings == 0:
        raise ValueError("hypers: with many=True there are no settings; give at least one")
    T, G = problem.steps, problem.layout.G
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(SCHEDULES, (T, G)) | {"log_init_scale": (G,)}
    for name, part in parts.items():
        got, tie = tuple(part.shape[1 if many else 0 :]), ties.get(name)
        if tie is not None:
            rows, raw = tie.matrix.shape
            if got[:1] != (raw,):
                raise ValueError(f"hypers.{name}: has shape {list(got)}; its tie takes {raw} rows")
            got = (rows, *got[1:])
        need = (G, max(2, got[-1] if got else 0)) if name == "init_bins" else wanted.get(name, got)
        if got != need:
            said = f"has shape {list(got)}" + (" after its tie" if tie is not None else "")
            raise ValueError(f"hypers.{name}: {said}; this problem needs {list(need)}")
    return settings
