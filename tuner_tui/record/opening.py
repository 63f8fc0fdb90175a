"""Opening a tracking store: MLflow's settings for this process, SQLite's, and the first migration.

Two studies may start at once where no database is yet, and MLflow's migrations do not survive that by
themselves: several processes migrating one fresh file fail each other. So a file lock stands around it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .errors import Away, sentence_of
from .uri import is_server, sqlite_path

HTTP_TIMEOUT_S = 30  # a server that is busy migrating answers within it; one that hangs is away


def prepare_environment() -> None:
    """Settings MLflow reads when imported: fail fast, say little, report nothing. Call before any import."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # its own seven take four minutes; we have better
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(HTTP_TIMEOUT_S)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a traceback each try; we say it in a sentence


def open_client(uri: str, root: Path) -> Any:
    """A client whose database exists in its newest form: two studies may start at once on none at all."""
    try:
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic", "alembic.runtime.migration"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # importing it set them up anew
        if is_server(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            return client
        path = sqlite_path(uri)
        with _locked(root / ".mlflow.lock"):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                for leftover in path.parent.glob(
                    f"{path.name}.ma[dk]*"
                ):  # of one that was killed while it made it
                    leftover.unlink()
                if not path.exists() or not path.stat().st_size:
                    _make_database(path)
                _use_wal(path)
                _relax_sync()
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)  # creates and migrates
            return client
    except Exception as error:
        raise Away(sentence_of(error, uri)) from error


def _make_database(path: Path) -> None:
    """A new SQLite store, there as a whole or not at all: one killed in mid-migration is never usable again."""
    from mlflow.tracking import MlflowClient

    # A name of its own each time: MLflow remembers stores by name, also one whose file is gone since.
    making = path.with_name(f"{path.name}.making-{os.getpid()}-{time.time_ns()}")
    made = path.with_name(f"{path.name}.made")
    MlflowClient(f"sqlite:///{making}").search_experiments(max_results=1)  # creates and migrates
    # A copy, because MLflow keeps its connections to the first one open.
    with closing(sqlite3.connect(making)) as source, closing(sqlite3.connect(made)) as target:
        source.backup(target)
    made.replace(path)
    making.unlink()


def _use_wal(path: Path) -> None:
    """Write-ahead logging: half the time a call, and readers never wait. The file remembers it."""
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


_relaxed = False


def _relax_sync() -> None:
    """Let this process's SQLite connections leave syncing to `Store.flush`, once a batch."""
    global _relaxed
    if _relaxed:
        return
    _relaxed = True
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            [mode] = connection.execute("PRAGMA journal_mode").fetchone()
            if mode == "wal":  # in any other mode an unsynced commit can damage the file
                connection.execute("PRAGMA synchronous=NORMAL")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
