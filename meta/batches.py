"""Batches as a function of step and seed: a new order in every epoch, and random access."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batches:
    """Rows of n examples, `size` at a time; the last incomplete batch of an epoch is dropped."""

    n: int
    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.n:
            raise ValueError(f"batch: {self.size} examples a step; there are {self.n}, give 1 to {self.n}")

    @property
    def per_epoch(self) -> int:
        """Whole batches in one pass over the examples."""
        return self.n // self.size

    def __call__(self, t: int, seed: int) -> Tensor:  # -> [size] int64
        epoch, place = divmod(t, self.per_epoch)
        return _order(self.n, epoch, seed)[place * self.size : (place + 1) * self.size]


@lru_cache(maxsize=64)  # the way back walks through the same epochs
def _order(n: int, epoch: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=generator_at(seed, epoch))


def generator_at(seed: int, counter: int, stream: int = 0) -> torch.Generator:
    """A generator seeded by all three, so that its numbers can be reproduced in any order."""
    # Seeds of neighbouring counters and runs must not meet: odd multipliers spread them over 63 bits.
    mixed = seed * 0x9E3779B97F4A7C15 + counter * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB + 1
    return torch.Generator().manual_seed(mixed % 2**63)
