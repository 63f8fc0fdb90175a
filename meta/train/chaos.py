"""Detection of chaotic trainings, whose exact gradients are useless, and the responses to them.

Past some learning rate two trainings that start a hair apart end far apart. The loss may still be low there, but its
gradient is that of the wiggles, e^Λ times too large (Maclaurin et al. 2015, figure 2; Metz et al. 2021). Λ, the
growth of the adjoint on its way back, comes free with every reverse method.

    watch = Watch()
    verdict, watch = watch.see(sight(found, steps), Guards())

Nothing here trains: `see` is a pure function from observations to a response.
"""

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from meta.result import Result

Action = Literal["go", "clip", "back", "shorten", "smooth", "stop"]
ACTIONS: tuple[Action, ...] = ("go", "clip", "back", "shorten", "smooth", "stop")  # the mildest first


class Diverged(Exception):
    """Meta-training has diverged; the message gives the reason."""


@dataclass(frozen=True)
class Guards:
    """Λ as calibrated by benchmarks/chaos.py (five networks of 8×8 digits, 3 seeds, 64 rates each): how many runs'
    gradients differ from a finite difference over h = .05 by their sign or a factor of 2."""

    wary: float = 2.0  # 59 % of the runs with Λ from 2.0 to 2.5 differ; 30 % of those from 1.5 to 2.0
    chaotic: float = 3.5  # 99 % of the runs beyond it differ, 80 % of those from 3.0 to 3.5
    spike: float = (
        5.0  # times the usual gradient: in calm regions norms changed by less than 3 in a trusted step
    )
    factor: float = 2.0  # between the change that gradients foretold and the one that came
    small: float = 0.02  # of the value: a change that is too small to be told from curvature
    rise: float = 2.0  # times the last good loss: no step that gradients foretold well does that
    halvings: int = 4  # a sixteenth of a step that is still too long says that steps are not the trouble
    shortenings: int = 2  # Λ grows with the number of steps
    shortest: int = 10  # inner steps; a training of fewer tells little about a long one
    smooths: int = 5  # iterations with evolution strategies before the gradient gets another chance
    calm: int = 3  # good iterations in a row after which earlier trouble is forgotten


@dataclass(frozen=True)
class Sight:
    """The observations of one meta-iteration. NaN means unknown."""

    value: float
    norm: float  # of the whole meta-gradient
    steps: int  # T
    growth: float = math.nan  # Λ, the largest of all seeds: one bad seed spoils the mean
    agreement: float = math.nan  # between seeds
    foretold: float = math.nan  # the change of the loss by the gradients at both ends ...
    came: float = math.nan  # ... and the one that came, since the last good one
    smoothed: bool = False  # by evolution strategies, which are noisy and know no Λ


@dataclass(frozen=True)
class Verdict:
    """The response to an observation.

    go: take the step. clip: take it with the gradient no longer than `clip`. back: to the last good hyperparameters,
    and from there a step of `scale`. shorten: train for half as many inner steps, from the last good ones. smooth:
    the same place again, by evolution strategies. stop: raise Diverged(why).
    """

    action: Action
    why: str = ""  # the observation behind it; "" for none
    clip: float = math.inf
    scale: float = 1.0  # of the meta step
    smooth: bool = False  # the next gradient by evolution strategies


@dataclass(frozen=True)
class Watch:
    """The memory of the iterations so far."""

    tried: tuple[Action, ...] = ()  # answers to trouble since the last calm
    calm: int = 0  # good iterations in a row
    good: bool = False  # there is something to go back to
    norms: tuple[float, ...] = ()  # of the last good gradients
    smooths: int = 0  # iterations left with evolution strategies

    def see(self, sight: Sight, guards: Guards) -> tuple[Verdict, "Watch"]:
        """The verdict on one meta-iteration, and the watch to use for the next."""
        usual = median(self.norms) if self.norms else math.inf
        grave, slight = signs(sight, guards, usual)
        doubtful = len(slight) > 1  # each of them also happens by chance; two at once hardly
        if grave or (doubtful and self._may_go_back(guards)):
            return self._answer(sight, guards, grave, slight)
        left = max(self.smooths - 1, 0) if sight.smoothed else 0
        calm = 0 if sight.smoothed or doubtful else self.calm + 1
        tried = () if calm >= guards.calm else self.tried
        norms = self.norms if slight or sight.smoothed else (*self.norms, sight.norm)[-5:]
        after = Watch(tried, calm, True, norms, left)
        clip = usual if slight else math.inf
        action: Action = "clip" if sight.norm > clip else "go"
        return Verdict(action, ", ".join(slight), clip, after.scale, left > 0), after

    @property
    def scale(self) -> float:
        """The factor by which meta steps are shortened now: halved for each "back" since the last calm."""
        return 0.5 ** self.tried.count("back")

    def _may_go_back(self, guards: Guards) -> bool:
        beyond = "shorten" in self.tried or "smooth" in self.tried
        return self.good and not beyond and self.tried.count("back") < guards.halvings

    def _answer(
        self, sight: Sight, guards: Guards, grave: list[str], slight: list[str]
    ) -> tuple[Verdict, "Watch"]:
        """The mildest response that has not been used up."""
        why = ", ".join(grave + slight)
        action: Action = "smooth"
        if "smooth" in self.tried:
            action, why = "stop", f"chaotic: {why}{_in_vain(self.tried)}"
        elif self._may_go_back(guards):
            action = "back"
        elif self.tried.count("shorten") < guards.shortenings and sight.steps // 2 >= guards.shortest:
            action = "shorten"
        after = replace(self, tried=(*self.tried, action), calm=0)
        if action == "shorten":  # a different problem: earlier norms do not apply
            after = replace(after, good=False, norms=())
        if action == "smooth":
            after = replace(after, smooths=guards.smooths)
        return Verdict(action, why, math.inf, after.scale, action == "smooth"), after


def signs(sight: Sight, guards: Guards, usual: float = math.inf) -> tuple[list[str], list[str]]:
    """The grave and the slight signs of chaos. usual: the norm of good gradients."""
    grave = []
    if not math.isfinite(sight.value):
        grave.append(f"the outer loss is {sight.value}")
    if not math.isfinite(sight.norm):
        grave.append(f"the norm of the meta-gradient is {sight.norm}")
    if sight.came > (1 - 1 / guards.rise) * abs(sight.value):
        grave.append(f"the outer loss rose by {sight.came:.3g} to {sight.value:.3g}")
    if sight.smoothed:
        return grave, []
    slight = []
    if sight.growth > guards.chaotic:
        grave.append(f"growth Λ = {sight.growth:.1f} is above {guards.chaotic:g}")
    elif sight.growth > guards.wary:
        slight.append(f"growth Λ = {sight.growth:.1f} is above {guards.wary:g}")
    if sight.agreement < 0:
        slight.append(f"the seeds' gradients point apart (cosine {sight.agreement:.2f})")
    if math.isfinite(sight.norm) and sight.norm > guards.spike * usual:
        slight.append(
            f"the meta-gradient's norm is {sight.norm:.3g} where {usual:.3g} is usual (limit: {guards.spike:g} times)"
        )
    known = math.isfinite(sight.foretold) and abs(sight.came) > guards.small * abs(sight.value)
    if known and not 1 / guards.factor < sight.foretold / sight.came < guards.factor:
        slight.append(f"the loss changed by {sight.came:.3g} where gradients foretold {sight.foretold:.3g}")
    return grave, slight


def sight(found: Result, steps: int, foretold: float = math.nan, came: float = math.nan) -> Sight:
    """The observations in a result of a single setting."""
    growth = math.nan
    if found.growth is not None:  # 0/0 or ∞/∞ is nothing to be trusted
        growth = found.growth.nan_to_num(math.inf, math.inf).max().item()
    return Sight(
        value=found.value.item(),
        norm=found.grads.norm().item(),
        steps=steps,
        growth=growth,
        agreement=found.agreement().item(),
        foretold=foretold,
        came=came,
        smoothed=found.method == "evolution",
    )


def _in_vain(tried: tuple[Action, ...]) -> str:
    named = {
        "back": "halving the meta step",
        "shorten": "halving the inner steps",
        "smooth": "evolution strategies",
    }
    said = [f"{what} ({n} times)" if (n := tried.count(action)) > 1 else what  # type: ignore[arg-type]
            for action, what in named.items() if action in tried]  # fmt: skip
    return f"; in vain: {', '.join(said)}" if said else ""
