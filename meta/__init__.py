"""Hypergradients: exact gradients of a validation loss with respect to a training's hyperparameters.

from meta import Hypers, of_module, hypergradient
"""

from meta.dynamics import Adam, HeavyBall
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.inner.ties import constant, linear, per_epoch, piecewise
from meta.methods.reversible import NotReversed
from meta.problem import Layout, Piece, Problem
from meta.problems.modules import of_module
from meta.result import Result

__all__ = [
    "Adam",
    "HeavyBall",
    "Hypers",
    "Layout",
    "NotReversed",
    "Piece",
    "Problem",
    "Result",
    "constant",
    "hypergradient",
    "linear",
    "of_module",
    "per_epoch",
    "piecewise",
]
