"""Fixtures for the tests of the screen: a root of studies with an app on it, a terminal with all colours."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from support.room import Room


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run an `async def` test: Textual's pilot needs a loop of its own and nothing more."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the dialog for a new study looks for search files where one stands
    root = tmp_path / "mlruns"
    root.mkdir()
    made = Room(root)
    yield made
    made.close()


@pytest.fixture
def colours(monkeypatch):
    """A terminal of 16 million colours, wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch
