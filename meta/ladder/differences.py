"""Central differences, and the order at which a gradient's disagreement with them dies.

    ( E(λ + hv) − E(λ − hv) ) / 2h = ∇E·v + O(h²)

If ∇E is right the error falls as h²: slope 2 on logarithmic axes. If it is wrong at all the error stops at the
mistake: slope 0. No bound on the error itself could tell a small mistake from a large h.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from meta.hypers import Parts

# Of a direction of length 1: small enough for h² to rule, and its error yet far above that of rounding.
STEPS = (5e-2, 3e-2, 2e-2, 1e-2)


def direction(parts: Parts, seed: int = 5) -> Parts:
    """Of length 1, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        name: torch.randn(part.shape, generator=generator, dtype=torch.float64)
        for name, part in parts.items()
    }
    length = dot(drawn, drawn) ** 0.5
    return {name: (part / length).to(parts[name]) for name, part in drawn.items()}


def dot(a: Parts, b: Parts) -> float:
    """Σ ab over the parts of b, in float64."""
    return sum((a[name].double() * b[name].double()).sum().item() for name in b)


def central(
    value: Callable[[Parts], float], parts: Parts, v: Parts, steps: Sequence[float] = STEPS
) -> list[float]:
    """The central differences of `value` at `parts` along the direction v, one for each step size h."""

    def at(h: float) -> float:
        return value({name: part + h * v[name] for name, part in parts.items()})

    return [(at(h) - at(-h)) / (2 * h) for h in steps]


def order(errors: Sequence[float], steps: Sequence[float] = STEPS) -> float:
    """The slope of log |error| over log h, by least squares."""
    if not np.isfinite(errors).all() or min(map(abs, errors)) == 0:
        return float("nan")
    return float(np.polyfit(np.log(steps), np.log(np.abs(errors)), 1)[0])
