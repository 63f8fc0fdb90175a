"""Reversible: train in integers, then undo the training step by step, bit for bit, and keep almost nothing.

Maclaurin, Duvenaud and Adams 2015, algorithms 2 and 3, for the heavy ball and for Adam. The state before each step
is computed from the state after it, exactly, for the product with β̂ = n/d loses no bit (meta.inner.fixedpoint). What
is kept is log2(1/β̂) bits per parameter and step, 0.15 for β = 0.9, against a tape's 64. A step contracts phase space
by β whatever the loss, so no method that goes back exactly can keep less.
"""

import math
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from meta.dynamics import Adam, HeavyBall
from meta.hypers import Parts
from meta.inner.fixedpoint import LARGEST_BASE, SPILL, FixedPoint
from meta.inner.integers import AdamLaw, HeavyBallLaw, Law, Part, Training, cut
from meta.inner.steps import Expanded, Inner
from meta.methods.backwards import Backwards
from meta.methods.method import Slope

ROOM = 32  # bytes of intermediates for each parameter of the largest piece, see meta.inner.fixedpoint.Room
# Of Adam's averages, finest first: |g| may reach 2, 32 and 512. Coarser ones lose the averages of small gradients.
RADICES_ADAM = (60, 52, 44)
SPARE = (
    3  # bits of |g| that a suggested range has beyond the gradient that left the range: later ones are larger
)


class NotReversed(ArithmeticError):
    """The way back missed the first weights: some step did not repeat itself, and the gradient would be wrong."""


@dataclass(frozen=True)
class Reversible:
    """Weights and velocities are integers in units of 2^-radix and must stay below 2^(62−radix) in absolute value,
    1,024 by default; narrow ones below 2^(50−radix_narrow), 64. Adam's averages of g and g² are in units of
    2^-radix_adam and must stay below 2^(62−radix_adam). By default the finest units that hold a training are taken,
    and Slope.note says so where these are not the first choice. A run that leaves the widest range, or meets a
    gradient that is not a number, ends with value, weights and gradient all NaN and exact = False; a warning names
    the range that was left.

    The product with β̂ adds noise of up to d units a step, 1.5e-11 in the velocity. For Adam with the default
    β₂ = 999/1000 it is 9e-16 in the average of g²: agreement with other methods ends at some 3e-6.

    `Slope.bits` counts what was put aside, 16 bits at a time, per parameter and step, for all averages together;
    not the one word per parameter and average that is always there. `Slope.exact` says that the way back ended at
    the first weights, with averages of zero and every word empty. `hypergradient` raises NotReversed where it did
    not, in a training that stayed within its range.

    The way back asks for each gradient a second time and must get the same bits: no random numbers in the loss,
    and on a GPU no kernels that sum in an order of their own (torch.use_deterministic_algorithms).
    """

    radix: int = 52
    narrow: bool | None = None  # whole numbers below 2^50, held in float64: faster. None: see `_narrow`
    radix_narrow: int = 44
    radix_adam: int | None = None  # finer than the weights': m/√s makes whole steps of the smallest averages
    offload: bool = False  # on a GPU, keep what is put aside in the host's memory
    name = "reversible"

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Refuses optimisers without integer arithmetic, and fractions or units that the integers can't hold."""
        dynamics = inner.problem.dynamics
        # By type: a kind of HeavyBall may have a step of its own.
        if not isinstance(dynamics, HeavyBall | Adam) or type(dynamics) not in (HeavyBall, Adam):
            kind = type(dynamics).__name__
            return f"can't undo a step of {kind}; use HeavyBall or Adam, or the method tape"
        d = dynamics.denominator
        if d is None:
            return "needs β as a fraction n/d, and dynamics.denominator is None; give 2**16, or use the method tape"
        fractions = {"dynamics.denominator": (1, d)}
        if isinstance(dynamics, Adam):
            fractions["dynamics.second"] = dynamics.second
        for name, (n, d) in fractions.items():
            if not 1 <= n <= d <= LARGEST_BASE:
                return f"{name}: β = {n}/{d}; give n/d with 1 <= n <= d <= {LARGEST_BASE}"
        for name, bits, has in (("radix", self.radix, 62), ("radix_adam", self.radix_adam, 62),
                                ("radix_narrow", self.radix_narrow, 50)):  # fmt: skip
            if bits is not None and not 1 <= bits < has:
                return f"{name}: {bits}; give 1 to {has - 1}, for the integers have {has} bits"
        if self.narrow and isinstance(dynamics, Adam):
            return "narrow: Adam's average of g² needs finer units than numbers below 2^50 have; leave it out"
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """Weights, averages and their words, and what is put aside; the arithmetic's room is small on a CPU."""
        with torch.no_grad():
            pieces, laws = self._laws(inner, inner.expand(parts))
        on_host = self.offload and inner.device.type == "cuda"
        total = ROOM * max(piece.size for piece in pieces)
        for piece, law in zip(pieces, laws, strict=True):
            words = 1 + 2 * len(law.decays)
            spills = 0 if on_host else sum(decay.spills() for decay in law.decays)
            total += piece.size * (8 * words + SPILL // 8 * spills)
        return total

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        *finer, widest = self._from_fine_to_wide(inner)
        reached = None  # by |g|, where finer units did not hold
        for method in finer:
            with torch.no_grad():
                expanded = inner.expand(parts)
                training, losses = method._forth(inner, expanded)
            if bool(training.within().all()):
                return method._back(inner, parts, expanded, training, losses, reached)
            reached = training.furthest_g.max().item()
        with torch.no_grad():
            expanded = inner.expand(parts)
            training, losses = widest._forth(inner, expanded)
        widest._warn(training)
        return widest._back(inner, parts, expanded, training, losses, reached)

    def _from_fine_to_wide(self, inner: Inner) -> list["Reversible"]:
        """Copies of this method with units that are given, to be tried in turn."""
        if isinstance(inner.problem.dynamics, Adam) and self.radix_adam is None:
            return [replace(self, radix_adam=bits) for bits in RADICES_ADAM]
        if self.narrow is None and self._narrow(inner):
            return [self, replace(self, narrow=False)]
        return [self]

    def _forth(self, inner: Inner, expanded: Expanded) -> tuple[Training, Tensor]:
        """The training up to its end, and its losses [T, ...]."""
        pieces, laws = self._laws(inner, expanded)
        training = Training(expanded.x0, pieces, laws, self._numbers(inner), self.offload)
        losses = inner.losses()
        for t in range(inner.T):
            x = training.x()
            training.watch(x)
            g, losses[t] = inner.gradient(t, x, expanded.theta)
            training.step(t, g)
        training.watch(training.x())
        return training, losses

    def _back(
        self, inner: Inner, parts: Parts, expanded: Expanded, training: Training, losses: Tensor,
        reached: float | None,
    ) -> Slope:  # fmt: skip
        with torch.no_grad():
            end = training.x(), *training.averages()
            spilled = training.spilled()
            back = Backwards(inner, expanded, end)
            for t in reversed(range(inner.T)):
                training.undo_move(t)
                x = training.x()
                g, pull = inner.gradient_and_pull(t, x, expanded.theta)
                training.undo_averages(t, g)
                back.through(t, (x, *training.averages()), g, pull)
            within = training.within()
            return Slope(
                value=_nan_unless(within, back.value),
                parts={name: _nan_unless(within, part) for name, part in back.parts(parts).items()},
                x=_nan_unless(within, end[0]),
                losses=losses,
                growth=_nan_unless(within, back.growth),
                bits=spilled / (inner.T * inner.problem.layout.P),
                exact=within & training.at_start(),
                note=self._note(reached),
            )

    def _note(self, reached: float | None) -> str | None:
        if reached is None:
            return None
        if self.radix_adam is None:
            return "weights in 62 bits, as 50 did not hold them"
        return f"Adam's averages in units of 2^-{self.radix_adam}, as some |g| reached {reached:.3g}"

    def _warn(self, training: Training) -> None:
        """Says which range was left, and what to set. A gradient that is not a number has left none."""
        within = training.within()
        if bool(within.all()):
            return
        x, g = training.furthest_x[~within].max().item(), training.furthest_g[~within].max().item()
        if not g < training.steepest and math.isfinite(g) and self.radix_adam is not None:
            bits = math.ceil(2 * (math.log2(g) + SPARE))  # g² must fit as well
            said = f"|g| reached {g:.3g}, and Adam's averages hold {training.steepest:.3g}"
            said += f"; give Reversible(radix_adam={max(1, 62 - bits)})"
        elif not x < training.numbers.range and math.isfinite(x):
            said = f"a weight reached {x:.3g}, and the integers hold {training.numbers.range:.3g}"
            bits = math.ceil(math.log2(x) + SPARE)
            wider = "narrow=False" if training.numbers.narrow else f"radix={max(1, 62 - bits)}"
            said += f"; give Reversible({wider}), or a lower rate"
        else:
            return
        warnings.warn(f"reversible: value and gradient are NaN: {said}, or another method", stacklevel=3)

    def _numbers(self, inner: Inner) -> FixedPoint:
        return FixedPoint(self.radix_narrow, narrow=True) if self._narrow(inner) else FixedPoint(self.radix)

    def _narrow(self, inner: Inner) -> bool:
        """Where float32 hides that a product moves the last 16 of 44 bits after the point: 4e-9 at most."""
        if self.narrow is not None:
            return self.narrow
        heavy_ball = isinstance(inner.problem.dynamics, HeavyBall)
        return heavy_ball and inner.dtype == torch.float32 and inner.device.type == "cpu"

    def _laws(self, inner: Inner, expanded: Expanded) -> tuple[list[Part], list[Law]]:
        dynamics, rates = inner.problem.dynamics, expanded.rates
        numbers, averages = self._numbers(inner), FixedPoint(self.radix_adam or RADICES_ADAM[0])
        pieces = cut(inner.problem.layout, inner.device)
        if isinstance(dynamics, HeavyBall) and dynamics.denominator:
            d = dynamics.denominator
            return pieces, [HeavyBallLaw(rates, d, numbers, piece) for piece in pieces]
        if isinstance(dynamics, Adam) and dynamics.denominator:
            d = dynamics.denominator
            return pieces, [AdamLaw(dynamics, rates, d, numbers, averages, piece) for piece in pieces]
        raise TypeError(f"no integer arithmetic for {dynamics}")  # `refuses` has said so before


def _nan_unless(within: Tensor, values: Tensor) -> Tensor:  # [...], [..., *shape]
    return torch.where(within.view([*within.shape, *[1] * (values.dim() - within.dim())]), values, torch.nan)
