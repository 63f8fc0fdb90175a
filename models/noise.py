"""Randomness without a state: every number is a hash of (seed, step, stream, position).

A generator's state would have to be saved, restored and moved between devices. Here step 1,000 draws
the same batch, masks and dropout whether training came straight to it or was resumed at step 999, on a
CPU or a GPU, bit for bit. Only tensor operations are used, so a CUDA graph can hold the whole draw: it
reads the step from a tensor. (Counter-based generators: Salmon et al. 2011; the mixing function is the
finaliser of SplitMix64, Steele, Lea, Flood 2014.)
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: consecutive counters land far apart
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True)
class Noise:
    """The draws of one step. `stream` is a name: draws under different names are independent."""

    seed: int
    step: Tensor  # [] int64, on the device where the draws are wanted

    @staticmethod
    def at(seed: int, step: int, device: torch.device | str = "cpu") -> "Noise":
        """The draws of `step`, on `device`."""
        return Noise(seed, torch.tensor(step, dtype=torch.int64, device=device))

    def uniform(self, stream: str, *shape: int) -> Tensor:
        """float32 of `shape` in [0, 1), each a multiple of 2^-24."""
        return (self._bits(stream, shape) >> 40 & 0xFFFFFF).float() * 2**-24

    def below(self, stream: str, n: int | Tensor, *shape: int) -> Tensor:
        """int64 of `shape` in 0 .. n-1, n at most 2^31 and broadcast. Its bias is below n / 2^32."""
        return (self._bits(stream, shape) >> 32 & 0xFFFFFFFF) * n >> 32

    def _bits(self, stream: str, shape: tuple[int, ...]) -> Tensor:
        """int64 of `shape`, all 64 bits random."""
        name = 0
        for letter in stream[-7:]:  # int.from_bytes, which torch.compile can't trace; names are ASCII
            name = name * 256 + ord(letter)
        for letter in stream[:-7]:  # a name longer than 7 letters is folded in
            name = _mixed(name * 257 + ord(letter))
        key = _mix((self.step + _signed(_mixed(_mixed(self.seed) ^ name))) * _signed(_GOLDEN))  # []
        counter = torch.arange(math.prod(shape), device=self.step.device)
        # Not counter * golden + key: Inductor folds that into numbers of its own, which do not wrap around.
        return _mix((counter + key) * _signed(_GOLDEN)).view(shape)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser; int64 wraps around as unsigned numbers would, only shifts need care."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        x = (x ^ (x >> shift & (1 << 64 - shift) - 1)) * _signed(factor)
    return x ^ (x >> 31 & (1 << 33) - 1)


def _mixed(x: int) -> int:
    """The same for one Python number."""
    x &= 2**64 - 1
    for shift, factor in zip((30, 27), _MIX, strict=True):
        x = (x ^ x >> shift) * factor % 2**64
    return x ^ x >> 31


def _signed(x: int) -> int:
    """The int64 with the bits of an unsigned number below 2^64."""
    return x - 2**64 if x >= 2**63 else x
