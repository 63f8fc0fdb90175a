"""Which MLflow a study is published to, decided without importing MLflow (the command line asks early)."""

from __future__ import annotations

import os
import re
from pathlib import Path

VARIABLE = "MLFLOW_TRACKING_URI"


LOCAL = "local"  # what a study remembers for the SQLite file beside it, wherever the folder is moved


def tracking_uri(root: Path, given: str | None = None) -> str:
    """`given`, else the environment's MLFLOW_TRACKING_URI, else a SQLite file under `root` (mlruns/).

    `given` may be what `remembered` made of a URI: then the environment adds the password, if it names the same.
    """
    found = os.environ.get(VARIABLE)
    if given and found and _without_password(found) == given:
        return found
    return (
        given
        if given and given != LOCAL
        else (not given and found) or f"sqlite:///{root.resolve() / 'mlflow.db'}"
    )


def remembered(given: str | None) -> str:
    """What a study keeps of `given`, else of the environment's URI, so that a later command finds the same store.

    Never a password: this process, and those it starts, have it in their environment.
    """
    uri = given or os.environ.get(VARIABLE)
    if not uri:
        return LOCAL
    if (path := sqlite_path(uri)) is not None:
        return uri.replace(str(path), str(path.resolve()), 1)
    if (bare := _without_password(uri)) != uri:
        os.environ[VARIABLE] = uri
    return bare


def is_server(uri: str) -> bool:
    """Whether somebody else's process owns the database, and says where artifacts go."""
    return uri.startswith(("http://", "https://", "databricks"))


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite URI; None for any other (an in-memory database included)."""
    for prefix in ("sqlite:///", "sqlite+pysqlite:///"):
        if uri.startswith(prefix) and uri != prefix and not uri.startswith(prefix + ":memory:"):
            return Path(uri.removeprefix(prefix).split("?", 1)[0])
    return None


def artifact_location(root: Path, study: str, uri: str) -> str | None:
    """Where the artifacts of a study's experiment go; None leaves it to the server."""
    return None if is_server(uri) else (root.resolve() / "artifacts" / study).as_uri()


def _without_password(uri: str) -> str:
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", uri)


def shown(uri: str) -> str:
    """`uri` without the password it may hold: for logs, notebooks and people."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri)
