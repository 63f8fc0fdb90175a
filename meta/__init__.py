"""Hypergradients: exact gradients of a validation loss with respect to a training's hyperparameters.

from meta import Hypers, Problem, hypergradient
"""

from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.problem import Layout, Piece, Problem
from meta.result import Result

__all__ = ["Hypers", "Layout", "Piece", "Problem", "Result", "hypergradient"]
