"""Python's own pauses, kept short: while it collects garbage or computes in a thread, no key is answered.

A full collection walks every object there is. With the trials of a long study that took a tenth of a second, every
second of a live sweep. So what has survived one full collection is taken out of all later ones (`gc.freeze`): trials,
charts and snapshots form no cycles and are freed all the same when nothing refers to them. Screens do form cycles:
they are looked at again when a study is left (`thaw`).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping

# How long a thread that computes may keep the interpreter while a key waits. Python's own 5 ms are paid
# at each of the several waits of one frame; a millisecond costs the thread nothing that can be measured.
SWITCH_S = 0.001


def no_collections() -> None:
    """No collections until `short_pauses`: while modules are imported there is nothing to be found."""
    gc.disable()


def short_pauses() -> None:
    """From here on collections only walk what is new, and threads give way sooner."""
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    if _freeze not in gc.callbacks:
        gc.callbacks.append(_freeze)
    gc.enable()


def thaw() -> None:
    """Let the next full collection walk everything once: a screen has been closed."""
    gc.unfreeze()


def _freeze(phase: str, info: Mapping[str, int]) -> None:
    if phase == "stop" and info["generation"] == 2:  # a full one
        gc.freeze()
