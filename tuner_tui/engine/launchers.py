"""Which launcher runs the trials of a search: the one place that names them.

To add one: a file here that implements `launcher.Launcher`, an entry in LAUNCHERS under the value of
`isolation` that chooses it, and a subclass of `tests/support/launcher_contract.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..search.builtin import is_builtin
from ..search.search import Search
from .interpreter import OURS, Interpreter, check_command, environment_of, program_of
from .launcher import Launcher
from .local import LocalLauncher


def make_launcher(
    study: Path,
    search: Search,
    path: Sequence[str],
    python: Interpreter = OURS,
    environment: Mapping[str, str] | None = None,
) -> Launcher:
    """The launcher for the trials of `search`. `study`: its folder; `path`: where targets are looked up first;
    `python`: what runs them; `environment`: variables that all trials get."""
    return LAUNCHERS[search.isolation](study, search, path, python, environment or {})


def _local(
    study: Path, search: Search, path: Sequence[str], python: Interpreter, environment: Mapping[str, str]
) -> Launcher:
    if search.command:
        # What runs the command and reads its output is ours: any program can be a trial, not only Python's.
        check_command(search, python)
        environment = {**environment_of(python, os.environ), **environment}
    return LocalLauncher(
        study, search.target, path, isolation=search.isolation, python=OURS if search.command else python,
        gpus_per_trial=search.gpus_per_trial, trials_per_gpu=search.trials_per_gpu, extra=environment,
        program=partial(program_of, interpreter=python),
        missing=_MODELS if is_builtin(search) else _ELSEWHERE.format(python),
    )  # fmt: skip


_MODELS = "; the built-in searches need: pip install 'tuner-tui[models]'"
_ELSEWHERE = "; trials run in {0.path}, {0.why}: install it there, or name another interpreter with --python"
_Factory = Callable[[Path, Search, Sequence[str], Interpreter, Mapping[str, str]], Launcher]
# By the values of `isolation` in a search file.
LAUNCHERS: dict[str, _Factory] = {
    "fork": _local,
    "spawn": _local,
}
