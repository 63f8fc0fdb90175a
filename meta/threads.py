"""One thread of torch for work on small matrices, where several only wait for each other."""

import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def one_thread(train: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """A generator that computes with one thread, however many its process has and has again at the end.

    Networks of 30 units on two cores: a meta-iteration of the learned transformations took 0.25 s of processor with
    one thread and 3 s with two. A machine with more cores gives a trial more of them.
    """

    @functools.wraps(train)
    def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield from train(*args, **kwargs)
        finally:
            torch.set_num_threads(before)

    return run
