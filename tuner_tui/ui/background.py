"""Computations that a key can't wait for: in a thread, one at a time, and for a tenth of the time at most."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.message import Message
from textual.widget import Widget

REST = 9.0  # times as long as the last one took, before the next begins by itself


class Background:
    """One kind of computation of a widget or screen."""

    def __init__(self, owner: Widget) -> None:
        self._owner = owner
        self._rest_until = 0.0
        self.busy = False

    @property
    def rest_s(self) -> float:
        """Seconds until the next may begin by itself; not above 0: now."""
        return self._rest_until - time.monotonic()

    def begin(self, compute: Callable[[], Message]) -> None:
        """Compute in a thread. What it returns is posted to the owner, who then calls `over`."""
        self.busy = True
        self._owner.run_worker(lambda: self._compute(compute), thread=True)

    def over(self) -> None:
        """The owner has seen what came of it."""
        self.busy = False

    def _compute(self, compute: Callable[[], Message]) -> None:
        began = time.monotonic()
        message = compute()
        self._rest_until = time.monotonic() + REST * (time.monotonic() - began)
        self._owner.post_message(message)
