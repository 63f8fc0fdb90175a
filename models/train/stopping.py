"""When to lower the learning rate, when to stop early, and when to give up as diverged.

One validation loss is noisy, so every rule looks at the median of the last `stop.window` of them, as the
2017 search did with ten. None is the best before the window is full: a lucky first measurement would be
one that no honest median ever beats. What a rule remembers is a frozen value, and `step` makes the next
from it, told the loss measured after step `at`; `Rules` are all of them together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from models import config
from models.config import Config

VERDICT = 3  # measurements needed to conclude "worse than uniform": the median outvotes one bad one


class Diverged(Exception):
    """Training has diverged; the message is the sentence of `diverged`."""


@dataclass(frozen=True)
class Plateau:
    """The rule of 2017: the rate times `schedule.decay` when more than `schedule.patience` steps brought no
    better median, and again after as many more. `scale` is for `schedules.learning_rate`."""

    scale: float = 1.0
    best: float = math.inf  # the lowest median so far
    since: int = 0  # the step of that, or of the last decay
    recent: tuple[float, ...] = ()

    def step(self, loss: float, at: int, config: Config) -> "Plateau":
        """The next value, after validation loss `loss` at step `at`."""
        recent = _later(self.recent, loss, config.stop.window)
        if len(recent) < config.stop.window:
            return replace(self, since=at, recent=recent)
        if (middle := _median(recent)) < self.best:
            return Plateau(self.scale, middle, at, recent)
        if at - self.since > config.schedule.patience:
            return Plateau(self.scale * config.schedule.decay, self.best, at, recent)
        return replace(self, recent=recent)


@dataclass(frozen=True)
class EarlyStop:
    """Enough after `stop.patience` measurements whose median was not better by more than `stop.min_delta`
    than the best one; never with a patience of 0."""

    best: float = math.inf
    best_at: int = 0  # its step
    stale: int = 0  # measurements since
    recent: tuple[float, ...] = ()

    def step(self, loss: float, at: int, stop: config.Stop) -> "EarlyStop":
        """The next value, after validation loss `loss` at step `at`."""
        recent = _later(self.recent, loss, stop.window)
        if len(recent) < stop.window:
            return replace(self, recent=recent)
        if (middle := _median(recent)) < self.best - stop.min_delta:
            return EarlyStop(middle, at, 0, recent)
        return replace(self, stale=self.stale + 1, recent=recent)

    def enough(self, stop: config.Stop) -> str | None:
        """The reason to stop as a sentence, or None."""
        if not 0 < stop.patience <= self.stale:
            return None
        return (
            f"loss/valid has not improved by more than {stop.min_delta:g} in {self.stale} measurements: the "
            f"median of {stop.window} was {self.best:.4g} at step {self.best_at} and is {_median(self.recent):.4g}"
        )


@dataclass(frozen=True)
class Divergence:
    """The last validation losses after `stop.warmup` steps; earlier ones are ignored."""

    recent: tuple[float, ...] = ()

    def step(self, loss: float, at: int, stop: config.Stop) -> "Divergence":
        """The next value, after validation loss `loss` at step `at`."""
        return self if at <= stop.warmup else Divergence(_later(self.recent, loss, max(VERDICT, stop.window)))


@dataclass(frozen=True)
class Rules:
    """All that a training remembers of its validation losses. A checkpoint keeps `asdict(rules)`, and
    `Rules.of` goes on from there."""

    lowest: float = math.inf  # of the losses themselves: the best weights are those of one moment
    plateau: Plateau = field(default_factory=Plateau)
    early: EarlyStop = field(default_factory=EarlyStop)
    divergence: Divergence = field(default_factory=Divergence)

    def step(self, loss: float, at: int, config: Config) -> "Rules":
        """The next value, after validation loss `loss` at step `at`."""
        return Rules(
            min(self.lowest, loss),
            self.plateau.step(loss, at, config),
            self.early.step(loss, at, config.stop),
            self.divergence.step(loss, at, config.stop),
        )

    @staticmethod
    def of(saved: Mapping[str, Any]) -> "Rules":
        """The inverse of `asdict`."""
        return Rules(
            saved["lowest"],
            Plateau(**saved["plateau"]),
            EarlyStop(**saved["early"]),
            Divergence(**saved["divergence"]),
        )


def diverged(measured: Mapping[str, float], at: int, late: Divergence, uniform: float) -> str | None:
    """The reason to give up after step `at` as a sentence, or None.

    `measured` are losses by name, {"loss/train": ..., "loss/valid": ...}: one that is not finite is reason
    enough. So is a median of the `late` ones above `uniform`, the validation loss of an answer that gives
    each of the 256 levels the same chance.
    """
    for name, loss in measured.items():
        if not math.isfinite(loss):
            return f"{name} became {'nan' if math.isnan(loss) else 'infinite'} at step {at}"
    count = len(late.recent)
    if count >= VERDICT and (middle := _median(late.recent)) > uniform:
        return (
            f"loss/valid is {middle:.1f} at step {at} (the median of {count}), worse than a uniform answer "
            f"({uniform:.1f})"
        )
    return None


def _later(recent: tuple[float, ...], loss: float, window: int) -> tuple[float, ...]:
    return (*recent, loss)[-window:]


def _median(recent: tuple[float, ...]) -> float:
    """The median, with nan counted as infinite: sorting does not define a place for nan."""
    return median(math.inf if math.isnan(loss) else loss for loss in recent)
