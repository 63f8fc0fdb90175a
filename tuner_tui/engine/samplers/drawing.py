"""What all samplers share: the order in which a space is drawn, and seeds that do not depend on the process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ...search.search import Search
from ...search.space import Hyperparameter, in_dependency_order


def seed_of(seed: int, number: int, name: str) -> int:
    """32 bits, which is what numpy's RandomState takes. Not Python's hash(): that differs by process."""
    key = f"{seed}/{number}/{name}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "little")


def draw_all(search: Search, draw: Callable[[Hyperparameter], Any]) -> dict[str, Any]:
    """Draw what applies, each after those its condition speaks of; in the order of the search file."""
    values: dict[str, Any] = dict(search.fixed)
    drawn: dict[str, Any] = {}
    for h in in_dependency_order(search.space):
        if h.applies(values):
            drawn[h.name] = values[h.name] = draw(h)
    return {name: drawn[name] for name in search.space.names if name in drawn}


def again(attempt: int) -> str:
    """What tells the seeds of repeated draws of one trial apart; "" for the first."""
    return f"again {attempt}" if attempt else ""
