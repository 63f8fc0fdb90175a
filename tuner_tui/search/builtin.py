"""Finds a search file by path, by the name of a built-in search, or by default.

The built-in searches lie beside the workloads they are for. Those are found as neighbours of this package and
not by importing `models`: a user may have a `models` package of their own, and ours would import torch.
"""

from __future__ import annotations

from pathlib import Path

from .problems import Problem, SearchError, nearest
from .search import Search

DEFAULT_FILE = "tuner.toml"  # in the current folder; like a Makefile, it needs no naming
DEFAULT_BUILTIN = "caption"
# The workloads lie inside our package where it is installed, and beside it in the repository: two folders called
# `models` and `meta` in site-packages would hide a user's own.
_INSTALLED = Path(__file__).resolve().parents[1] / "bundled"
WORKLOADS = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1]
_NAMES = ("models", "meta")


def builtin_searches() -> dict[str, Path]:
    """Name -> file of the searches that come with the tuner, in order of their names."""
    files = (path for name in _NAMES for path in (WORKLOADS / name / "searches").glob("*.toml"))
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def is_builtin(search: Search) -> bool:
    """Whether a search came with the tuner: its target is looked up among the workloads, and nowhere else."""
    return Path(search.folder) in [WORKLOADS / name / "searches" for name in _NAMES]


def find_search(name_or_path: str | None, cwd: Path) -> Path:
    """The file for a path or a built-in name; for None ./tuner.toml if there is one, else the built-in `caption`.

    A file goes before a built-in search of the same name. Raises SearchError when there is neither.
    """
    builtin = builtin_searches()
    if name_or_path is None:
        default = cwd / DEFAULT_FILE
        if default.is_file():
            return default
        name_or_path = DEFAULT_BUILTIN
    path = cwd / Path(name_or_path).expanduser()
    try:
        if path.is_file():
            return path
    except (ValueError, OSError):  # a NUL in it, or too long
        pass
    if name_or_path in builtin:
        return builtin[name_or_path]
    hint = nearest(name_or_path, builtin)
    names = ", ".join(builtin) or "none"
    message = f"no such file, and no built-in search of that name{hint} (built in: {names})"
    raise SearchError([Problem(name_or_path, "", message)])
