"""An MLflow store to read from, for the source in `mlflow.py`: the only place of `sources/` that imports mlflow.

It fails fast, writes nothing, and turns what MLflow and its databases raise into a SourceError that names the store.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..study.text import one_line
from .source import SourceError, Wanted

PAGE = 1000  # runs that MLflow gives at once
_SQL_INF = 1.79e308  # MLflow's databases hold the largest float there is in the place of infinity


@dataclass(frozen=True)
class Experiment:
    id: str
    name: str


@dataclass(frozen=True)
class Reading:
    """A metric's value."""

    value: float
    step: int
    at: float


@dataclass(frozen=True)
class Run:
    """A run as far as it matters here."""

    id: str
    name: str
    status: str
    began: float
    ended: float | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, Reading]  # the last of each

    @property
    def parent(self) -> str:
        """The id of the run that it is nested in; "" without one."""
        return self.tags.get("mlflow.parentRunId", "")

    @property
    def running(self) -> bool:
        """Whether MLflow says so."""
        return self.status in ("RUNNING", "SCHEDULED")

    @property
    def is_study(self) -> bool:
        """Whether it is the parent run of a study that tuner published."""
        return "tuner.identity" in self.tags

    @property
    def last_sign(self) -> float:
        """When it last logged something."""
        return max((reading.at for reading in self.metrics.values()), default=self.began)


class Store:
    """A tracking store, opened when it is first asked. Every method raises SourceError when it can't be read."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = None
        self.shown = _without_password(uri)

    def experiments(self) -> list[Experiment]:
        """All there are, the one that changed last first."""
        with self._told() as client:
            found = list(_pages(client.search_experiments, order_by=["last_update_time DESC"]))
        return [Experiment(e.experiment_id, e.name) for e in found]

    def experiment(self, name: str) -> Experiment | None:
        """The one of this name; else, for a number, the one of this id."""
        with self._told() as client:
            found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "active":
            return Experiment(found.experiment_id, found.name)
        return next((e for e in self.experiments() if e.id == name), None)

    def exists(self, experiment: Experiment) -> bool:
        """Whether it has not been deleted since."""
        with self._told() as client:
            return client.get_experiment(experiment.id).lifecycle_stage == "active"

    def studies_of_tuner(self, experiment: Experiment) -> list[Run]:
        """The parent runs of tuner's own studies, the newest first."""
        return list(self.runs(experiment.id, "tags.`tuner.identity` LIKE '%'"))[::-1]

    def runs(self, experiment_id: str, condition: str) -> Iterator[Run]:
        """The runs that meet a condition, in the order of their start."""
        with self._told() as client:
            order = ["attributes.start_time ASC"]
            for run in _pages(
                client.search_runs, experiment_ids=[experiment_id], filter_string=condition, order_by=order
            ):
                yield _run(run)

    def run(self, run_id: str) -> Run | None:
        """One run; None when it was deleted."""
        with self._told() as client:
            run = client.get_run(run_id)
        return _run(run) if run.info.lifecycle_stage == "active" else None

    def history(self, run_id: str, metric: str) -> list[Reading]:
        """Every reading of a metric, by step."""
        with self._told() as client:
            found = client.get_metric_history(run_id, metric)
        return sorted(map(_reading, found), key=lambda r: (r.step, r.at))

    @contextmanager
    def _told(self) -> Iterator[Any]:
        """The client; what MLflow and its databases raise becomes a SourceError that names the store."""
        try:
            if self._client is None:
                self._client = _client(self._uri)
            yield self._client
        except SourceError:
            raise
        except ImportError as error:
            raise SourceError(
                f"{self.shown}: {one_line(str(error), 300)}; install the package beside tuner"
            ) from error
        except Exception as error:
            raise SourceError(f"{self.shown}: {_sentence(error)}") from error


def stores(wanted: Wanted) -> list[str]:
    """The addresses of the stores to look in."""
    if uri := wanted.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return [uri]
    files = [path for path in (wanted.root / "mlflow.db", Path("mlflow.db")) if path.is_file()]
    if not files:
        raise SourceError(
            f"no MLflow store: there is neither {wanted.root / 'mlflow.db'} nor mlflow.db here; name one with "
            "--tracking-uri or MLFLOW_TRACKING_URI"
        )
    return [f"sqlite:///{path.resolve()}" for path in files]


def _client(uri: str) -> Any:
    """A client that fails fast and writes nothing: a SQLite file is opened read-only, and must be there."""
    import logging

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # its own seven take four minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # we say it in a sentence
    if uri.startswith("sqlite:"):
        path = Path(uri.split("///", 1)[-1].split("?", 1)[0]).expanduser()
        if not path.is_file():
            raise SourceError(f"{uri}: no such file")
        # A reader of a database with a write-ahead log makes two small files beside it, and can't everywhere.
        fixed = "" if os.access(path.resolve().parent, os.W_OK) else "&immutable=1"
        uri = f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true{fixed}"
    elif uri.startswith("postgresql"):
        uri += ("&" if "?" in uri else "?") + "options=-c%20default_transaction_read_only%3Don"
    return MlflowClient(uri)


def _pages(search: Any, **what: Any) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = search(**what, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _run(run: Any) -> Run:
    info, data = run.info, run.data
    return Run(
        id=info.run_id,
        name=info.run_name or info.run_id,
        status=info.status,
        began=(info.start_time or 0) / 1000,
        ended=info.end_time / 1000 if info.end_time else None,
        params=data.params,
        tags={k: v for k, v in data.tags.items() if k == "mlflow.parentRunId" or k.startswith("tuner.")},
        # Steps are nowhere else. `tuner.value` is what the publisher adds to what a trial measured.
        metrics={m.key: _reading(m) for m in data._metric_objs if m.key != "tuner.value"},
    )


def _reading(metric: Any) -> Reading:
    value = float(metric.value)
    if abs(value) >= _SQL_INF:
        value = math.copysign(math.inf, value)
    return Reading(value, metric.step, metric.timestamp / 1000)


def _sentence(error: Exception) -> str:
    text = str(error)
    for sign, meaning in (
        ("Connection refused", "no server answers here"),
        ("Name or service not known", "there is no such host"),
        ("timed out", "the server did not answer in time"),
        ("out-of-date database schema", "another version of MLflow made it: run `mlflow db upgrade` on it"),
        ("unable to open database file", "the file can't be opened"),
        ("file is not a database", "this file is not a database"),
    ):  # fmt: skip
        if sign in text:
            return meaning
    return f"{type(error).__name__}: {one_line(text.split(chr(10))[0], 300)}"


def _without_password(uri: str) -> str:
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri)
