"""Rungs 4, 5 and 6: methods that find the same gradient in different ways find the same numbers.

Unrolling shares no adjoint with the others: autograd walks through the steps themselves. Forward mode shares not
even a way back. All kinds of hyperparameters are there at once, and no momentum lies on the grid n/2¹⁶, so whoever
rounds β in one place and not in another is found out.
"""

from collections.abc import Iterator

import torch

from meta import Hypers, hypergradient
from meta.dynamics import Dynamics
from meta.ladder.cases import DYNAMICS, Case, everything, tanh_network
from meta.ladder.check import Check, at_most, relative_error
from meta.ladder.differences import direction, dot
from meta.methods.checkpoint import Checkpoint
from meta.methods.forward import Forward
from meta.methods.method import Method
from meta.methods.replay import Replay
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.methods.truncated import Truncated
from meta.methods.unroll import Unroll

F32, F64 = torch.float32, torch.float64
OFF_GRID = 0.1  # of a logit, in length over all; some ten grid points per entry
SETTINGS = 3  # side by side
FEW = 20  # hyperparameters of a part, for forward mode side by side: it pays for each
# What integers of 2⁻⁵² round off is magnified by 1/(1−β) and by 1/ε; a float32 anywhere is above 1e-8.
REVERSED = 1e-8
FORWARD = Forward(directions_at_once=64)


def case(device: torch.device, dynamics: Dynamics) -> Case:
    """The tanh network with all kinds of hyperparameters, momenta moved off the grid n/2¹⁶."""
    problem = tanh_network(device, dynamics)
    parts = everything(problem, device)
    parts["logit_momentum"] = parts["logit_momentum"] + OFF_GRID * direction(parts)["logit_momentum"]
    return Case(problem, parts, device)


def same(
    rung: int, what: str, one: Method, other: Method, case: Case, bound: float, dtype: torch.dtype = F64
) -> Check:
    """The worst relative error over the parts."""
    return at_most(
        rung, what, relative_error(case.slope(one, dtype).parts, case.slope(other, dtype).parts), bound
    )


def recomputing(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 4."""
    for name, dynamics in DYNAMICS.items():
        it = case(device, dynamics)
        T = it.problem.steps
        for method, called in (
            (Tape(), "tape"),
            (Checkpoint(), "checkpoint"),
            (Checkpoint(segment=4), "checkpoint, segment=4"),
            (Replay(), "replay"),
            (Replay(branches=2), "replay, branches=2"),
            (Truncated(last=T), f"truncated, last={T}=T"),
        ):
            yield same(4, f"{called} = unroll, {name}", method, Unroll(), it, 1e-12)
        for method in (Unroll(), Tape(), Checkpoint(), Replay(), Reversible(), FORWARD):
            yield at_most(4, f"{method.name}, side by side = alone, {name}", beside(it, method), 1e-12)


def beside(it: Case, method: Method) -> float:
    """Settings in one vmap, under two seeds so that their batches differ, against one after the other."""
    some = {name: part for name, part in it.parts.items() if method != FORWARD or part.numel() <= FEW}
    parts = {name: torch.stack([part + 0.01 * k for k in range(SETTINGS)]) for name, part in some.items()}
    found = [
        hypergradient(
            it.problem,
            Hypers.of(parts),
            method,
            seeds=(0, 1),
            precision="float64",
            many=True,
            chunk_size=chunk,
        )
        for chunk in (4, 1)
    ]
    return relative_error(found[0].seed_grads.parts(), found[1].seed_grads.parts())


def reversing(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 5."""
    for name, dynamics in DYNAMICS.items():
        it = case(device, dynamics)
        yield same(5, f"reversible = unroll, {name}, f64", Reversible(), Unroll(), it, REVERSED)
        yield same(5, f"reversible = unroll, {name}, f32", Reversible(), Unroll(), it, 1e-4, F32)


def forward(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 6."""
    for name, dynamics in DYNAMICS.items():
        it = case(device, dynamics)
        for dtype, bits, bound in ((F64, "f64", 1e-10), (F32, "f32", 1e-5)):
            yield at_most(6, f"forward·v = reverse·v, {name}, {bits}", dot_test(it, FORWARD, dtype), bound)


def dot_test(it: Case, method: Method, dtype: torch.dtype = F64) -> float:
    """The relative difference of gradient·v between `method` and the tape, for a fixed direction v."""
    v = direction(it.parts)
    theirs = dot(it.slope(Tape(), dtype).parts, v)
    return abs(dot(it.slope(method, dtype).parts, v) - theirs) / abs(theirs)
