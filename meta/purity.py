"""The problem's functions tried once before any training: are they pure, do they fit, does a loss read each part?

A method asks for a batch and a gradient again on its way back, and autograd's second look must see the same function.
A loss with dropout or running statistics gives each method a gradient of its own, all wrong and none with an error.
So each function is called twice with the same arguments: the bits must be the same, and nothing it holds may change.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from meta.captured import Captured, captured, same_bits
from meta.hypers import Hypers, Parts, seen_by_losses
from meta.inner.steps import STRENGTH, Inner, Theta

FUNCTIONS = ("init", "batch", "inner_loss", "outer_loss", "outer_batch")
LOOKED_AT = 1000  # steps on which an unread part is looked for; a loss may read one at some steps only
RIGHT = "random numbers belong into `batch`, drawn from generator_at(seed, t) of meta.batches"


def check_functions(inner: Inner, parts: Parts, derivative: bool) -> None:
    """Tries the functions of a lone run's problem. Raises ValueError that names the function and the remedy.

    derivative: each of `parts` that losses read must have one; evolution strategies need none. What was found fine
    is not tried again with the same problem, parts and modes of the modules.
    """
    problem = inner.problem
    held = captured(function for name in FUNCTIONS if (function := getattr(problem, name, None)) is not None)
    key = (tuple(parts), tuple(inner.fixed), inner.dtype, inner.seeds[0], derivative, held.training)
    tried = problem.__dict__.setdefault("_tried", set())  # as functools.cached_property keeps its value
    if key in tried:
        return
    with _random_state_kept(inner.device):
        _Trial(inner, held).run(parts, derivative)
    tried.add(key)


class _Trial:
    """One look at a problem's functions, on the first batch of a lone run."""

    def __init__(self, inner: Inner, held: Captured) -> None:
        self.inner, self.held, self.problem = inner, held, inner.problem
        self.seed = inner.seeds[0]

    def run(self, parts: Parts, derivative: bool) -> None:
        problem, P = self.problem, self.problem.layout.P
        draws = self._twice("init", lambda: problem.init(self.seed))
        if tuple(draws.shape) != (P,):
            raise ValueError(
                f"init: has shape {list(draws.shape)}; the layout has {P} parameters, give [{P}]"
            )
        batch = self._twice("batch", lambda: problem.batch(0, self.seed))
        with torch.no_grad():
            expanded = self.inner.expand(parts)
        theta = {name: part for name, part in expanded.theta.items() if name != STRENGTH}
        x, batch = expanded.x0, pytree.tree_map(self.inner.as_float, batch)
        self._twice("inner_loss", lambda: self._inner_loss(x, theta, batch), {"x": x} | theta, batch)
        wanted = seen_by_losses(parts) if derivative else []
        self._twice("outer_loss", lambda: self._outer_loss(x, theta)[0], {"x": x} | theta)
        if unread := [name for name in wanted if not self._read(name, x, theta)]:
            raise ValueError(
                f"hypers.{unread[0]}: neither loss depends on it, so its gradient would be zero; "
                "leave it out, or let inner_loss or outer_loss read it"
            )

    def _inner_loss(self, x: Tensor, theta: Theta, batch: Any) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.problem.inner_loss(leaf, Hypers.of(theta), batch)
        _check_number("inner_loss", loss)
        (g,) = torch.autograd.grad(loss, leaf, allow_unused=True) if loss.requires_grad else (None,)
        if g is None:
            raise ValueError(
                "inner_loss: does not depend on the weights x; a module must be called with them, as "
                "torch.func.functional_call(module, layout.named(x), inputs), or made a problem by of_module"
            )
        # On a GPU sums may come in another order each time; `reversible`, which needs the bits, tells by itself.
        return loss.detach(), g if g.device.type == "cpu" else loss.detach()

    def _outer_loss(self, x: Tensor, theta: Theta) -> tuple[Tensor]:
        with torch.no_grad():
            value = self.inner.outer(x, theta)
        _check_number("outer_loss", value)
        return (value,)

    def _read(self, name: str, x: Tensor, theta: Theta) -> bool:
        """Whether a loss has a derivative by the part, at some step."""
        leaf = theta[name].detach().requires_grad_()
        here = theta | {name: leaf}
        with torch.enable_grad():
            if _depends(self.problem.inner_loss(x, Hypers.of(here), self._batch(0)), leaf):
                return True
            if _depends(self.inner.outer(x, here), leaf):
                return True
            return any(
                _depends(self.problem.inner_loss(x, Hypers.of(here), self._batch(t)), leaf)
                for t in range(1, min(self.inner.T, LOOKED_AT))
            )

    def _batch(self, t: int) -> Any:
        return pytree.tree_map(self.inner.as_float, self.problem.batch(t, self.seed))

    def _twice(self, name: str, call: Callable[[], Any], given: Parts | None = None, batch: Any = ()) -> Any:
        """The function's answer, the same twice. Raises ValueError if it is not, or if the function fails."""
        before = self.held.marks()
        try:
            first, state = call(), torch.get_rng_state()
            second, state_ = call(), torch.get_rng_state()
        except ValueError:
            raise
        except Exception as error:
            if culprits := self.held.culprits():  # such as a module's running statistics in another precision
                raise self._impure(name, culprits, "") from error
            told = f"; it was given {_shapes(given, batch)}" if given else ""
            kind = type(error).__name__
            raise ValueError(f"{name}: {kind} on the first batch: {str(error).strip()}{told}") from error
        changed = self.held.changed(before)
        same = all(same_bits(a, b) for a, b in zip(_tensors(first), _tensors(second), strict=True))
        drew = not torch.equal(state, state_)
        if same and not changed and not drew:
            return first
        culprits = self.held.culprits() if changed or drew else {}
        if culprits:
            raise self._impure(name, culprits, "")
        said = f"it changes {', '.join(changed)}, which it should only read" if changed else ""
        said = said or (f"it draws from torch's global random numbers; {RIGHT}" if drew else "")
        raise self._impure(
            name, {}, said or f"it {_apart(first, second)}; {RIGHT}, and state into none of them"
        )

    def _impure(self, name: str, culprits: dict[str, str], said: str) -> ValueError:
        named = "; ".join(f"{module}: {remedy}" for module, remedy in culprits.items())
        return ValueError(f"{name}: is not pure: {named or said}")


def _depends(value: Tensor, leaf: Tensor) -> bool:
    if not value.requires_grad:
        return False
    return torch.autograd.grad(value, leaf, allow_unused=True)[0] is not None


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: returns {type(value).__name__}; give a tensor of one number")
    if value.shape != ():
        raise ValueError(f"{name}: has shape {list(value.shape)}; give one number, as loss.mean()")


def _tensors(answer: Any) -> list[Tensor]:
    return [one for one in pytree.tree_leaves(answer) if isinstance(one, Tensor)]


def _apart(first: Any, second: Any) -> str:
    """The first number that differs, both times."""
    for a, b in zip(_tensors(first), _tensors(second), strict=True):
        if a.shape != b.shape:
            return f"gave shape {list(a.shape)} and then {list(b.shape)} for the same arguments"
        if not same_bits(a, b):
            at = int((a != b).flatten().int().argmax())
            one, other = (part.flatten()[at].item() for part in (a, b))
            return f"gave {one:.9g} and then {other:.9g} for the same arguments"
    return "did not repeat itself"


def _shapes(given: Parts, batch: Any) -> str:
    named = {name if name == "x" else f"hypers.{name}": part for name, part in given.items()}
    named |= {f"batch[{i}]": one for i, one in enumerate(_tensors(batch))}
    return ", ".join(f"{name} {list(part.shape)}" for name, part in named.items())


@contextmanager
def _random_state_kept(device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield
