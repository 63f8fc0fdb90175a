"""Rung 8: implicit differentiation agrees with unrolling where the training has arrived, and not before.

Agreement alone would prove little: where training has no effect, any two methods agree.
"""

from collections.abc import Iterator

import torch

from meta.hypers import SCHEDULES, STARTS
from meta.ladder.cases import Case, convex, kinds
from meta.ladder.check import Check, above, at_most, relative_error
from meta.methods.implicit import Implicit
from meta.methods.unroll import Unroll

EARLY = 3  # steps


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 8. Checks agreement after convergence for each kind, and disagreement after EARLY steps."""
    for kind in _kinds(device):
        yield arrived(device, kind)
    yield arrived(device, "log_l2 by weight", Implicit(solver="neumann", iterations=200))
    for kind in _kinds(device):
        yield above(8, f"... ≠ unroll after {EARLY} steps × {kind}", error(device, kind, EARLY), 1e-2)


def arrived(device: torch.device, kind: str, method: Implicit | None = None) -> Check:
    """A check that implicit differentiation equals unrolling after 60 steps, to 1e-6."""
    method = method or Implicit()
    return at_most(8, f"implicit, {method.solver} = unroll × {kind}", error(device, kind, None, method), 1e-6)


def error(device: torch.device, kind: str, steps: int | None = None, method: Implicit | None = None) -> float:
    """The relative difference between implicit differentiation and unrolling for one kind of hyperparameter."""
    problem = convex(device) if steps is None else convex(device, steps)
    case = Case(problem, kinds(problem, device)[kind], device)
    return relative_error(case.slope(method or Implicit()).parts, case.slope(Unroll()).parts)


def _kinds(device: torch.device) -> list[str]:
    read = kinds(convex(device), device).items()
    return [kind for kind, parts in read if not any(name in (*SCHEDULES, *STARTS) for name in parts)]
