"""What can be changed about a search while it runs: ranges, choices and fixed values of what it already has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .file import parse_search
from .problems import OVERRIDE, Problem, SearchError, nearest
from .search import Search
from .write import to_toml


def changed(search: Search, settings: Sequence[str]) -> Search:
    """The search with `key=value` settings, as `--set` takes them, for hyperparameters that it knows.

        lr={ log = [1e-5, 1e-2] }     draw it from another range
        kind=["attention"]            drop a choice
        width=64                      fix it

    Raises SearchError for a name that it does not have, and for what `--set` would refuse.
    """
    known = (*search.space.names, *search.fixed)
    problems: list[Problem] = []
    for text in settings:
        name = text.partition("=")[0].strip()
        if name not in known:
            hint = nearest(name, known) or f"; the names are {', '.join(known)}"
            problems.append(Problem(OVERRIDE, name, f"a running search has no such hyperparameter{hint}"))
    if problems:
        raise SearchError(problems)
    found = parse_search(to_toml(search), str(Path(search.folder) / "search.toml"), settings)
    return replace(search, space=found.space, fixed=found.fixed)
