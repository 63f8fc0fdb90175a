"""Samplers that know all their trials beforehand: Sobol points and a grid. What trials brought changes nothing.

Both take conditions: a hyperparameter that does not apply is absent.
"""

from __future__ import annotations

import random
import warnings
from typing import Any

from ...search.grid import grid
from ...search.sampling import option
from ...search.search import Search
from ...search.uniform import value_at
from ...study.snapshot import Trial
from .drawing import draw_all


class Sobol:
    """Trial n is point n of a scrambled Sobol sequence: the first 2^k trials cover the space evenly.

    Each hyperparameter has its own coordinate, also those that do not always apply. Trial n of a seed is the same
    whatever was asked before; another hyperparameter changes all of them (scipy scrambles all coordinates from one
    stream of random numbers). Optuna's QMCSampler counts its points in its study, so that trial n would depend on
    which were asked before.
    """

    def __init__(self, search: Search) -> None:
        from scipy.stats.qmc import Sobol as Engine

        self.search = search
        self.engine = Engine(max(1, len(search.space)), scramble=True, rng=search.seed)
        self.next = 0  # the point that the engine gives next

    def ask(self, number: int) -> dict[str, Any]:
        """See `Sampler`."""
        if number < self.next:
            self.engine.reset()
            self.next = 0
        if number > self.next:
            self.engine.fast_forward(number - self.next)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scipy's, that one point alone is not balanced
            point = self.engine.random(1)[0]
        self.next = number + 1
        at = dict(zip(self.search.space.names, point, strict=False))
        return draw_all(self.search, lambda h: value_at(h.distribution, float(at[h.name])))

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""


class Grid:
    """Trial n is point n of the grid shuffled by the seed: a search that is stopped has seen all of its parts.

    Where there are more trials than points, the grid begins again: trials get seeds of their own, so this tells how
    much the loss varies.
    """

    def __init__(self, search: Search) -> None:
        points = option("grid", search.sampler_options, "points")
        self.points = grid(search.space, search.fixed, points)
        random.Random(search.seed).shuffle(self.points)

    def ask(self, number: int) -> dict[str, Any]:
        """See `Sampler`."""
        return dict(self.points[number % len(self.points)])

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
