"""Files of a study are for their owner alone; what its trials make is as their owner's settings (umask) have it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# What this process was started with. It can only be read by setting it.
UMASK = os.umask(0o077)
os.umask(UMASK)


@contextmanager
def private_files() -> Iterator[None]:
    """Files and folders that this process makes meanwhile can be read by their owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
