"""Rung 7: for every kind of hyperparameter and every method, the error against differences falls as h².

Each method is held against differences of what it claims to differentiate: the whole training; for the implicit one
a training that has arrived; for the truncated one its last K steps from where the others left the state. Evolution
strategies are differences themselves, of width σ: held against the tape, their own error must fall as σ².
"""

from collections.abc import Callable, Iterator, Sequence

import torch

from meta.hypers import SCHEDULES, STARTS, Parts
from meta.ladder.cases import DYNAMICS, Case, convex, kinds, tanh_network
from meta.ladder.check import Check, refusal, within
from meta.ladder.differences import STEPS, central, direction, dot, order
from meta.methods.checkpoint import Checkpoint
from meta.methods.evolution import Evolution
from meta.methods.forward import Forward
from meta.methods.implicit import Implicit
from meta.methods.method import Method
from meta.methods.replay import Replay
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.methods.truncated import Truncated
from meta.methods.unroll import Unroll

SLOPE, MARGIN = 2.0, 0.2
FORWARD = Forward(directions_at_once=64)
LAST = 4  # K of the truncated method
WHOLE: tuple[Method, ...] = (
    Unroll(),
    Tape(),
    Checkpoint(),
    Replay(),
    Reversible(),
    FORWARD,
)  # of the whole training
Differences = Sequence[float]


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 7. Yields a check for each kind of hyperparameter and method; `quick` leaves out Adam."""
    for name, dynamics in list(DYNAMICS.items())[: 1 if quick else None]:
        problem = tanh_network(device, dynamics)
        for kind, parts in kinds(problem, device).items():
            case = Case(problem, parts, device)
            differences = central(case.value, parts, direction(parts))
            for method in (*WHOLE, Truncated(last=problem.steps)):
                called = "truncated, K=T" if method.name == "truncated" else method.name
                yield slope(f"{called} × {kind}, {name}", case, method, differences)
            yield truncated(f"truncated, K<T × {kind}, {name}", case)
            yield evolution(f"evolution × {kind}, {name}", case)
    problem = convex(device)
    for kind, parts in kinds(problem, device).items():
        yield implicit(f"implicit × {kind}", Case(problem, parts, device))


def slope(what: str, case: Case, method: Method, differences: Differences | None = None) -> Check:
    """A check that the error of the central differences against `method` has order 2 in h."""
    if sentence := case.refuses(method):
        return refusal(7, what, sentence, expected=False)
    v = direction(case.parts)
    if differences is None:
        differences = central(case.value, case.parts, v)
    exact = dot(case.slope(method).parts, v)
    return within(7, what, order([each - exact for each in differences]), SLOPE, MARGIN)


def implicit(what: str, case: Case) -> Check:
    """As `slope`, for implicit differentiation; by rates and first weights a refusal is expected."""
    method = Implicit()
    if any(name in (*SCHEDULES, *STARTS) for name in case.parts):
        return refusal(7, what, case.refuses(method), expected=True)
    return slope(what, case, method)


def truncated(what: str, case: Case) -> Check:
    """As `slope`, against differences of the last K steps only; by first weights a refusal is expected."""
    method = Truncated(last=LAST)
    if any(name in STARTS for name in case.parts):
        return refusal(7, what, case.refuses(method), expected=True)
    return slope(what, case, method, central(_last_steps(case), case.parts, direction(case.parts)))


def _last_steps(case: Case) -> Callable[[Parts], float]:
    """The outer loss as the last K steps move it: the state before them stays what it was."""
    free = case.unrounded().inner()
    with torch.no_grad():
        before = free.expand(case.parts)
        kept = free.start(before)
        for t in range(free.T - LAST):
            kept, _ = free.advance(t, kept, before)

    def value(parts: Parts) -> float:
        with torch.no_grad():
            expanded, state = free.expand(parts), kept
            for t in range(free.T - LAST, free.T):
                state, _ = free.advance(t, state, expanded)
            return free.outer(state[0], expanded.theta).item()

    return value


def evolution(what: str, case: Case) -> Check:
    """With as many orthogonal pairs as hyperparameters nothing is left to chance: only the smoothing's σ²."""
    v = direction(case.parts)
    exact = dot(case.slope(Tape()).parts, v)
    count = sum(part.numel() for part in case.parts.values())
    case = case.unrounded()
    errors = [  # its directions have length √count
        dot(case.slope(Evolution(sigma=h / count**0.5, pairs=count, orthogonal=True)).parts, v) - exact
        for h in STEPS
    ]
    return within(7, what, order(errors), SLOPE, MARGIN)
