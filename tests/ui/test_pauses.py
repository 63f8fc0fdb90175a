"""Python's collector does not walk the trials of a long study again and again."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from tuner_tui.ui import pauses


@pytest.fixture
def collector():
    """The collector as it was, whatever the test did to it."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)
    gc.callbacks.remove(pauses._freeze)
    gc.unfreeze()
    gc.enable()


class Loop:
    def __init__(self) -> None:
        self.me = self


def test_what_stays_is_walked_once_and_closed_screens_are_found(collector):
    pauses.no_collections()
    assert not gc.isenabled()
    pauses.short_pauses()
    assert gc.isenabled()
    there = gc.get_freeze_count()
    trials = [[number] for number in range(10_000)]
    screen = Loop()
    gone = weakref.ref(screen)
    gc.collect()
    assert gc.get_freeze_count() - there >= len(trials)  # no later collection walks them
    del screen
    gc.collect()
    assert gone() is not None
    pauses.thaw()
    gc.collect()
    assert gone() is None
