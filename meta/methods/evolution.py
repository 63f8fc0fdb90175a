"""Evolution strategies: the slope of a smoothed outer loss, from plain trainings alone. For where gradients explode.

Let F(λ) be the outer loss after training, ε ~ N(0, I), and σ a part's own scale. What is estimated is the gradient
of the smoothed objective, F_σ(λ) = E[F(λ + σε)], in antithetic pairs that share seed and batches:

    ∇F_σ = E[ε (F(λ + σε) − F(λ − σε))] / 2σ                       (Salimans et al. 2017; Nesterov & Spokoiny 2017)

Without bias, for any σ; F_σ is F itself up to O(σ²), and smooth where F is not. The variance grows with the number of
hyperparameters, whatever the number of weights: use ties.

Persistent (PES; Vicol, Metz & Sohl-Dickstein 2021): the T steps are cut into windows, and each draws an ε_w of its
own. With λ_w = λ + σε_w read in window w, ξ_w = ε_1 + … + ε_w, and ℓ_w the outer loss under λ_w where window w ends,

    ∇F_σ = Σ_w E[ξ_w (p_w(ε) − p_w(−ε))] / 2σ,    p_w = ℓ_w − ℓ_{w−1},    ℓ_0 = 0

Here F_σ(λ) = E[F(λ_1, …, λ_W)], where F is the last outer loss: the sum over p_w telescopes. By the likelihood ratio
∇F_σ = Σ_τ E[ε_τ F]/σ, and F may lose what came before window τ, as ε_τ is independent of ℓ_{τ−1}; collecting the
terms of each p_w gives ξ_w. ℓ_0 is 0 and not the outer loss of x₀, which depends on ε_1 itself. So it is unbiased for
this F_σ, which is less smoothed than that of one window, as the noise averages out along the training.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.method import Slope

Noise = Callable[[range, int], Parts]  # pairs, window -> ε, [n, *shape] in float64


@dataclass(frozen=True)
class Estimate:
    """Of one run."""

    parts: Parts  # the gradient
    standard_error: (
        Parts  # of each entry, from the spread over the pairs; NaN where these are not independent
    )
    pairs: int  # that were counted: both trainings stayed finite


@dataclass(frozen=True)
class Evolution:
    """A pair with a loss that is not finite is left out, counted and warned of; if all are, the gradient is NaN. The
    estimate is then of the slope among trainings that survive, and knows nothing of the brink beside them.

    The noise is a function of seed, training seed, pair and window: neither chunks nor neighbours change it.
    Trainings with different seeds draw different noise, so Result.standard_error over the seeds contains it.

    orthogonal: the pairs' directions stand at right angles, with length √d for d hyperparameters, so d at most. All d
    are central differences along a random basis with step σ√d: the whole gradient, exact up to O(σ²).
    """

    sigma: float | Mapping[str, float] = 0.1  # one for all, or by part; a tenth of an e-fold for logarithms
    pairs: int | None = 32  # 64 trainings; None: one pair per hyperparameter
    persistent: int | None = None  # steps per window; None: one window
    orthogonal: bool = False
    pairs_at_once: int = 32  # trainings side by side: twice as many
    seed: int = 0
    name = "evolution"

    def __post_init__(self) -> None:
        sigmas = self.sigma.values() if isinstance(self.sigma, Mapping) else [self.sigma]
        if not all(sigma > 0 for sigma in sigmas):
            raise ValueError(f"Evolution: sigma={self.sigma}; give numbers above 0")
        for option in ("pairs", "persistent", "pairs_at_once"):
            if (value := getattr(self, option)) is not None and value < 1:
                raise ValueError(f"Evolution: {option}={value}; give 1 or more")
        if self.orthogonal and self.persistent is not None:
            raise ValueError("Evolution: orthogonal directions are for one window; give that or persistent")

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Refuses parts for which `sigma` has no entry."""
        if isinstance(self.sigma, Mapping) and (
            without := [name for name in parts if name not in self.sigma]
        ):
            return f"sigma has no entry for {', '.join(without)}; give one, or a number for all parts"
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """States, gradients, rates and hyperparameters of the trainings side by side, and float64 sums."""
        width, layout, d = inner.problem.dynamics.width, inner.problem.layout, _count(parts)
        words = (width + 1) * layout.P + width * inner.T * layout.G + 2 * d
        at_once = min(self.pairs_at_once, self._pairs(d))
        basis = self._pairs(d) if self.orthogonal else at_once
        return 2 * at_once * words * inner.dtype.itemsize + (2 * at_once + basis) * d * 8

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        with torch.no_grad():
            expanded = inner.expand(parts)
            x, losses = inner.trained(expanded)
            value = inner.outer(x, expanded.theta)
        if inner.runs is None:
            estimate = self.estimate(inner, parts)
            found, pairs = estimate.parts, torch.tensor(float(estimate.pairs))
        else:
            alone = [replace(inner, seeds=(seed,), runs=None) for seed in inner.seeds]
            each = [
                self.estimate(one, {name: part[run] for name, part in parts.items()})
                for run, one in enumerate(alone)
            ]
            found = {name: torch.stack([one.parts[name] for one in each]) for name in parts}
            pairs = torch.tensor([float(one.pairs) for one in each])
        return Slope(value, found, x, losses, figures={"pairs": pairs})

    def estimate(self, inner: Inner, parts: Parts) -> Estimate:
        """inner, parts: those of a lone run."""
        pairs, noise = self._pairs(_count(parts)), self._noise(inner, parts)
        total = {name: torch.zeros_like(part, dtype=torch.float64) for name, part in parts.items()}
        squares = {name: torch.zeros_like(part, dtype=torch.float64) for name, part in parts.items()}
        finite = torch.zeros((), device=inner.device)
        for first in range(0, pairs, self.pairs_at_once):
            slopes, kept = self._slopes(
                inner, parts, noise, range(first, min(first + self.pairs_at_once, pairs))
            )
            finite += kept.sum()
            for name, slope in slopes.items():
                total[name] += slope.sum(0)
                squares[name] += slope.square().sum(0)
        n = int(finite.item())  # the one result that Python waits for
        if n < pairs:
            warnings.warn(f"evolution: {pairs - n} of {pairs} pairs left out, as not finite", stacklevel=2)
        # A basis that lost a direction is flat along it; the others keep their slope.
        over = pairs if self.orthogonal and n else n
        mean = {name: part / over for name, part in total.items()}  # 0/0 is NaN: nothing is left
        free = math.nan if self.orthogonal else n - 1
        error = {name: ((squares[name] / n - mean[name] ** 2).clamp_min(0) / free).sqrt() for name in parts}
        return Estimate({name: part.to(inner.dtype) for name, part in mean.items()}, error, n)

    def _slopes(self, inner: Inner, parts: Parts, noise: Noise, pairs: range) -> tuple[Parts, Tensor]:
        """Σ_w ξ_w Δp_w / 2σ of each pair, [n, *shape], 0 where that is not finite; and where it is, [n]."""
        n, window = len(pairs), self.persistent or inner.T
        both = replace(inner, seeds=inner.seeds * 2 * n, runs=2 * n)  # λ + σε, then λ − σε
        state, xi, slopes = None, {}, {}
        before = torch.zeros(n, dtype=torch.float64, device=inner.device)  # Δℓ_{w−1} [n]
        finite = torch.ones(n, dtype=torch.bool, device=inner.device)
        with torch.no_grad():
            for w, start in enumerate(range(0, inner.T, window)):
                eps = noise(pairs, w)
                expanded = both.expand({name: self._around(name, part, eps) for name, part in parts.items()})
                state = state or both.start(expanded)
                for t in range(start, min(start + window, inner.T)):
                    state, _ = both.advance(t, state, expanded)
                plus, minus = both.outer(state[0], expanded.theta).double().split(n)
                after = plus - minus  # Δℓ_w [n]
                finite &= after.isfinite()
                for name, more in eps.items():
                    xi[name] = xi.get(name, 0) + more
                    slope = _rows(after - before, more) * xi[name] / (2 * self._sigma(name))
                    slopes[name] = slopes.get(name, 0) + slope
                before = after
        return {name: torch.where(_rows(finite, slope), slope, 0) for name, slope in slopes.items()}, finite

    def _around(self, name: str, part: Tensor, eps: Parts) -> Tensor:  # [*shape] -> [2n, *shape]
        off = (self._sigma(name) * eps[name]).to(part.dtype)
        return torch.cat([part + off, part - off])

    def _sigma(self, name: str) -> float:
        return self.sigma[name] if isinstance(self.sigma, Mapping) else self.sigma

    def _pairs(self, d: int) -> int:
        pairs = self.pairs or d
        return min(pairs, d) if self.orthogonal else pairs

    def _noise(self, inner: Inner, parts: Parts) -> Noise:
        d, key = _count(parts), (self.seed, inner.seeds[0])

        def draws(pairs: range, window: int) -> Tensor:  # [n, d]
            return torch.from_numpy(np.stack([_normal(d, key, (pair, window)) for pair in pairs]))

        def by_part(flat: Tensor) -> Parts:
            split = flat.to(inner.device).split([part.numel() for part in parts.values()], 1)
            return {
                name: some.reshape(-1, *part.shape)
                for (name, part), some in zip(parts.items(), split, strict=True)
            }

        if not self.orthogonal:
            return lambda pairs, window: by_part(draws(pairs, window))
        # The sign of a direction does not matter to a pair, so that of Q's columns is left as it comes.
        basis = math.sqrt(d) * torch.linalg.qr(draws(range(self._pairs(d)), 0).T).Q.T
        return lambda pairs, window: by_part(basis[pairs.start : pairs.stop])


def _normal(d: int, key: tuple[int, int], counter: tuple[int, int]) -> np.ndarray:  # -> [d]
    """By counter: numpy's Philox tells 2²⁵⁶ places apart, where torch's CPU generator has 2³² seeds."""
    place = np.array([0, *counter, 0], dtype=np.uint64)
    words = np.array([word % 2**64 for word in key], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words, counter=place)).standard_normal(d)


def _rows(values: Tensor, like: Tensor) -> Tensor:  # [n] -> [n, 1, ...]
    return values.view(-1, *[1] * (like.dim() - 1))


def _count(parts: Parts) -> int:
    return sum(part.numel() for part in parts.values())
