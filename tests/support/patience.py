"""How long a test waits for what must happen: one number for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

# Never a measure of speed. The slowest thing waited for takes seconds on a quiet machine and a minute where
# sixteen busy processes share two cores; what has not happened after five is not going to.
PATIENCE_S = 300.0

Held = TypeVar("Held")


def wait_until(holds: Callable[[], Held], what: str, *, every: float = 0.02) -> Held:
    """What `holds` answers once it is true; `what` is what the failure says never came."""
    deadline = time.monotonic() + PATIENCE_S
    while not (held := holds()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain until {what}"
        time.sleep(every)
    return held
