"""Which launcher runs the trials of a search: the one place that names them.

To add one: a file here that implements `launcher.Launcher`, an entry in LAUNCHERS under the value of
`isolation` that chooses it, and a subclass of `tests/support/launcher_contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..search.search import Search
from .launcher import Launcher
from .local import LocalLauncher


def make_launcher(study: Path, search: Search, path: Sequence[str]) -> Launcher:
    """The launcher for the trials of `search`. `study`: its folder; `path`: where targets are looked up first."""
    return LAUNCHERS[search.isolation](study, search, path)


def _local(study: Path, search: Search, path: Sequence[str]) -> Launcher:
    return LocalLauncher(study, search.target, path, isolation=search.isolation)


# By the values of `isolation` in a search file.
LAUNCHERS: dict[str, Callable[[Path, Search, Sequence[str]], Launcher]] = {"fork": _local, "spawn": _local}
