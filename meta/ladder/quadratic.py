"""Rung 3: on a quadratic bowl, all is as in a closed form that knows neither autograd nor steps."""

from collections.abc import Iterator

import torch

from meta import Hypers
from meta.dynamics import HeavyBall
from meta.ladder.cases import Case
from meta.ladder.check import Check, at_most, relative_error
from meta.methods.checkpoint import Checkpoint
from meta.methods.forward import Forward
from meta.methods.implicit import Implicit
from meta.methods.method import Method
from meta.methods.replay import Replay
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.methods.truncated import Truncated
from meta.methods.unroll import Unroll
from meta.problems.quadratic import Quadratic

GROUPS = (3, 2, 1)
P, G, T = sum(GROUPS), len(GROUPS), 20
ARRIVED = 150  # steps, after which the bowl's slowest direction has lost 16 digits


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 3. Compares every exact method, plain training and implicit differentiation with the closed form."""
    methods = (Unroll(), Tape(), Checkpoint(), Replay(), Truncated(last=T), Forward(), Reversible())
    for method in methods:
        yield gradient(device, method)
    yield value(device)
    yield implicit(device)


def bowl(device: torch.device, steps: int = T) -> Quadratic:
    """A diagonal quadratic with three groups of parameters, trained with momentum."""
    generator = torch.Generator().manual_seed(0)
    target, goal = torch.randn(2, P, generator=generator, dtype=torch.float64).to(device)
    curvature = torch.linspace(0.5, 3.0, P, dtype=torch.float64).to(device)
    return Quadratic(curvature, target, goal, steps, groups=GROUPS, dynamics=HeavyBall(lr=0.5, momentum=0.5))


def hypers(device: torch.device) -> Hypers:
    """Random hyperparameters of every kind that the closed form knows."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

    return Hypers(
        log_lr=-0.5 + 0.2 * normal(T, G),
        logit_momentum=1 + 0.5 * normal(T, G),
        log_init_scale=0.3 * normal(G),
        log_l2=-2 + 0.5 * normal(P),
        other={"target": normal(P)},
    )


def gradient(device: torch.device, method: Method) -> Check:
    """A check of `method`'s hypergradient against the closed form."""
    asked, quadratic = hypers(device), bowl(device)
    _, grads = quadratic.exact(asked)
    found = Case(quadratic.problem(), asked.parts(), device).slope(method).parts
    right = {name: part.to(device) for name, part in grads.parts().items()}
    # Integers of radix 2⁻⁵² take β's product down by up to 2¹⁶ of their units.
    bound = 1e-7 if method.name == "reversible" else 1e-11
    return at_most(3, f"{method.name} = closed form, gradient", relative_error(found, right), bound)


def value(device: torch.device) -> Check:
    """A check of the outer loss after plain training against the closed form."""
    asked, quadratic = hypers(device), bowl(device)
    right, _ = quadratic.exact(asked)
    found = Case(quadratic.problem(), asked.parts(), device).inner().value(asked.parts()).item()
    return at_most(3, "plain training = closed form, value", abs(found - right) / abs(right), 1e-11)


def implicit(device: torch.device) -> Check:
    """A check of implicit differentiation against the closed form, after the bowl has converged."""
    everything, quadratic = hypers(device), bowl(device, ARRIVED)
    asked = Hypers(log_l2=everything.log_l2, other=everything.other)
    _, grads = quadratic.exact(asked)
    found = Case(quadratic.problem(), asked.parts(), device).slope(Implicit()).parts
    right = {name: part.to(device) for name, part in grads.parts().items()}
    return at_most(3, f"implicit = closed form after {ARRIVED} steps", relative_error(found, right), 1e-9)
