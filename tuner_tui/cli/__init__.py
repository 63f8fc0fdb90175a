"""The commands. Each imports what it needs when it runs, so that `tuner --help` answers at once.

Exit codes, for scripts: 0 done, 1 a --fail-if held, 2 bad input, 3 no trial finished, 4 not recorded,
130 interrupted.
"""

from . import running, looking, searches, tending  # isort: skip  # their order is that of `tuner --help`
from .app import app, main

__all__ = ["app", "looking", "main", "running", "searches", "tending"]
