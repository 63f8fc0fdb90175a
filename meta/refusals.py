"""Checks of the arguments of `hypergradient`: each error names the argument, its value and the remedy."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from meta.hypers import SCHEDULES, Parts
from meta.inner.ties import Ties
from meta.problem import Problem

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def dtype_of(precision: str) -> torch.dtype:
    """The torch dtype of a precision's name. Raises ValueError for an unknown one."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} is unknown; give one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def device_of(problem: Problem, seeds: Sequence[int]) -> torch.device:
    """The device that the problem draws its first weights on. Raises ValueError without seeds."""
    if not seeds:
        raise ValueError("seeds: there are none; give at least one, as seeds=(0,)")
    return problem.init(seeds[0]).device


def check(problem: Problem, parts: Parts, fixed: Parts, ties: Ties, many: bool, device: torch.device) -> int:
    """Checks that the arguments fit together and returns the number of settings, K. Raises ValueError."""
    if not parts:
        raise ValueError(
            "hypers: every part is None, there is nothing to differentiate by; give at least one"
        )
    if both := [name for name in fixed if name in parts]:
        raise ValueError(f"fixed.{both[0]}: is in hypers as well; give it in one of them")
    for name in ties:
        if name not in parts:
            raise ValueError(
                f"ties: {name!r} is tied, but hypers has no such part; it has {', '.join(parts)}"
            )
    for place, part in _places(parts, fixed):
        if not part.is_floating_point():
            raise ValueError(f"{place}: is {part.dtype}; a gradient needs real numbers, give floats")
        if part.device != device:
            raise ValueError(f"{place}: lies on {part.device}, the problem on {device}; move one of them")
    settings = _settings(parts, many)
    for name, part in parts.items():
        _check_shape(f"hypers.{name}", name, tuple(part.shape[1 if many else 0 :]), ties, problem)
    for name, part in fixed.items():
        _check_shape(f"fixed.{name}", name, tuple(part.shape), {}, problem)
    return settings


def _places(parts: Parts, fixed: Parts) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"hypers.{name}", part) for name, part in parts.items())
    yield from ((f"fixed.{name}", part) for name, part in fixed.items())


def _settings(parts: Parts, many: bool) -> int:
    if not many:
        return 1
    for name, part in parts.items():
        if not part.dim():
            raise ValueError(f"hypers.{name}: has no axes; with many=True the first one counts the settings")
    counts = {name: part.shape[0] for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {n}" for name, n in counts.items())
        raise ValueError(
            f"hypers: with many=True every part starts with the same number of settings; got {said}"
        )
    settings = next(iter(counts.values()))
    if settings == 0:
        raise ValueError("hypers: with many=True there are no settings; give at least one")
    return settings


def _check_shape(place: str, name: str, got: tuple[int, ...], ties: Ties, problem: Problem) -> None:
    T, G = problem.steps, problem.layout.G
    wanted: dict[str, tuple[int, ...]] = {"log_init_scale": (G,), "init": (problem.layout.P,)}
    wanted |= dict.fromkeys(SCHEDULES, (T, G)) | dict(problem.shapes)
    tie = ties.get(name)
    if tie is not None:
        rows, raw = tie.matrix.shape
        if got[:1] != (raw,):
            raise ValueError(f"{place}: has shape {list(got)}; its tie takes {raw} rows")
        got = (rows, *got[1:])
    need = (G, max(2, got[-1] if got else 0)) if name == "init_bins" else wanted.get(name, got)
    if got != need:
        said = f"has shape {list(got)}" + (" after its tie" if tie is not None else "")
        remedy = _constant(name, got, T, G) if name in SCHEDULES and tie is None else ""
        raise ValueError(f"{place}: {said}; this problem needs {list(need)}{remedy}")


def _constant(name: str, got: tuple[int, ...], T: int, G: int) -> str:
    """What to give where a value was meant for all steps or all groups."""
    if got == (T,) and T != G:
        return f": for one value per step in all groups give {name}[:, None].expand({T}, {G})"
    if got in ((), (1,), (G,), (1, G)):
        return (
            f': for the same values at every step give [1, {G}] and ties={{"{name}": constant({T})}} of meta'
        )
    return ""
