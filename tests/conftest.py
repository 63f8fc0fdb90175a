"""What holds for every test: signals, time, the children's bytecode, and an end that leaves nothing behind.

This file is read before any test and before any worker of xdist starts, so children inherit what is set here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import reaper


def heed_signals() -> None:
    """Give the children's signals their usual effect, where `nohup` or `&` in a script had them ignored.

    A process hands "ignored" on to what it starts, but not a handler: one that does nothing leaves this
    process as deaf as it was asked to be, and its children hear Ctrl-C and a lost line.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def keep_bytecode() -> None:
    """Where Python may write none beside its sources, keep it in pytest's cache.

    Half of what a sweep costs a test is importing MLflow: two seconds compiled, seven from source.
    """
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


heed_signals()
keep_bytecode()
reaper.start()

# A loaded machine is slow and no fault of the code's. "ci" comes with hypothesis: no deadline either, and the
# same examples every time.
settings.register_profile(
    "default", settings.get_profile("default"), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def the_store_of_nobody() -> Iterator[None]:
    """A study remembers the store that the environment names, and puts a password back there for what it starts
    (record/uri.py): one test's server must not become the next one's."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before
