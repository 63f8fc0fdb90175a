"""The verification ladder: every gradient is checked in two ways, and every check is shown to be able to fail.

Ten rungs, each a function (device, quick) -> checks, from integers that come back up to the GPU. Each rung stands on
those below it: 1 and 2 make the reversible method possible; 3 holds all to a closed form; 4 to 6 hold the methods to
each other; 7 holds them to differences, kind by kind; 8 says where implicit differentiation is true; 9 makes mistakes
on purpose, which a check must catch. `python -m meta.verify` climbs it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch

from meta.ladder import agreement, buffer, gpu, implicit, mutants, quadratic, reversal, slopes
from meta.ladder.check import Check

__all__ = ["RUNGS", "Check", "Rung", "climb"]


@dataclass(frozen=True)
class Rung:
    """One rung: its title, and a generator of its checks, called with the device and whether to be quick."""

    title: str
    checks: Callable[[torch.device, bool], Iterator[Check]]


RUNGS = {
    1: Rung("Integers multiplied by n/d, thousands of times, come back", buffer.rung),
    2: Rung("A training reversed is the same training, to the bit", reversal.rung),
    3: Rung("A quadratic bowl, solved on paper", quadratic.rung),
    4: Rung("tape = checkpoint = unroll", agreement.recomputing),
    5: Rung("reversible = unroll", agreement.reversing),
    6: Rung("forward · v = reverse · v", agreement.forward),
    7: Rung("Error against differences falls as h², every kind × method", slopes.rung),
    8: Rung("implicit = unroll where training arrived, and not before", implicit.rung),
    9: Rung("Mutants: mistakes made on purpose are caught", mutants.rung),
    10: Rung("Bitwise reversal on a GPU", gpu.rung),
}


def climb(on: torch.device, rungs: Collection[int] = (), quick: bool = False) -> Iterator[Check]:
    """Yields the checks of these rungs as they are made; of all rungs if none is named."""
    with gpu.repeatable(on):
        for number, rung in RUNGS.items():
            if not rungs or number in rungs:
                yield from rung.checks(on, quick)
