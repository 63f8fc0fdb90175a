"""The MLflow client, and what its errors mean to a publisher.

All calls to MLflow go through this file, so that the rest of the package only has to handle three errors:
Away, Refused and Vanished.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import Away, Refused, Vanished, internal, kind_of, sentence_of
from .opening import open_client, prepare_environment
from .plan import Reading
from .uri import artifact_location, sqlite_path

MAX_METRICS = 1000  # MLflow's limits for one log_batch, all kinds together 1000
MAX_PARAMS = MAX_TAGS = 100
MAX_BYTES = 900_000  # of a request, which MLflow bounds at 1 MB; the rest is for its envelope
PAGE = 1000  # runs a search returns at a time; MLflow's own default, named because it is silent
_STUBBORN_S = (0.2, 1.0)  # waits before an internal error of a store that answers counts as a refusal

T = TypeVar("T")


class Store:
    """An MLflow tracking store, opened and migrated. Raises Away when that is not possible now."""

    def __init__(self, uri: str, root: Path) -> None:
        self.uri = uri
        self._root = root
        prepare_environment()
        from mlflow.entities import Metric, Param, RunTag, ViewType

        self._metric, self._param, self._tag, self._view = Metric, Param, RunTag, ViewType
        self._client = open_client(uri, root)
        self.repeated = False  # a call was made again, which may have been carried out the first time
        self._folders: dict[str, Path] = {}  # of the artifacts of runs made here, where they are on this disk

    # -- finding and making ------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, created, or restored if it was deleted."""
        found = self._call(self._client.get_experiment_by_name, name)
        if found is None:
            place = (
                re.sub(r"[^\w.-]+", "_", name).strip(".") or "experiment"
            )  # a name may hold slashes and dots
            location = artifact_location(self._root, place, self.uri)
            try:
                return self._call(self._client.create_experiment, name, artifact_location=location)
            except Refused:  # somebody made it in the same moment
                found = self._call(self._client.get_experiment_by_name, name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._call(self._client.restore_experiment, found.experiment_id)
        return found.experiment_id

    def restore_experiment(self, experiment_id: str) -> bool:
        """Restore a deleted experiment; False if it does not exist."""
        if self._call(self._client.get_experiment, experiment_id).lifecycle_stage != "deleted":
            return False
        self._call(self._client.restore_experiment, experiment_id)
        return True

    def has_run(self, run_id: str) -> bool:
        """Whether MLflow has a run of this id."""
        try:
            return self._call(self._client.get_run, run_id).info.lifecycle_stage == "active"
        except Vanished:
            return False

    def parent_run(self, experiment_id: str, identity: str) -> str | None:
        """The id of the study's parent run; None when there is none. A second one, made by a call whose answer was
        lost, is deleted: it has no trials."""
        runs = sorted(
            self._search(experiment_id, f"tags.`tuner.identity` = '{identity}'"),
            key=lambda run: (run.info.start_time, run.info.run_id),
        )
        for double in runs[1:]:
            self._call(self._client.delete_run, double.info.run_id)
        return runs[0].info.run_id if runs else None

    def child_runs(self, experiment_id: str, parent: str, known: dict[int, str]) -> dict[int, str]:
        """Trial -> run id, of all runs under `parent`.

        A second run of one trial is deleted: the answer to the call that made the first got lost. The one in
        `known` stays, else the one that was found first.
        """
        found: dict[int, str] = {}
        doubles: list[str] = []
        for run in self._search(experiment_id, f"tags.`mlflow.parentRunId` = '{parent}'"):
            trial = run.data.tags.get("tuner.trial", "")
            if not trial.isdecimal():
                continue
            number, run_id = int(trial), run.info.run_id
            if number not in found:
                found[number] = run_id
            elif known.get(number) == run_id:
                doubles.append(found[number])
                found[number] = run_id
            else:
                doubles.append(run_id)
        for run_id in doubles:
            self._call(self._client.delete_run, run_id)
        return found

    def create_run(self, experiment_id: str, name: str, ms: int, tags: dict[str, str]) -> str:
        """The new run's id. The run has all its tags at once, so it can be found again from the start."""
        run = self._call(self._client.create_run, experiment_id, start_time=ms, tags=tags, run_name=name)
        if (where := urlsplit(run.info.artifact_uri)).scheme == "file":
            self._folders[run.info.run_id] = Path(url2pathname(where.path))
        return run.info.run_id

    # -- writing -----------------------------------------------------------------------------------------

    def log(
        self, run_id: str, metrics: Sequence[Reading] = (), params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> list[str]:  # fmt: skip
        """Write everything, in as few calls as MLflow allows; the sentences of what it refused."""
        items = [("param", item) for item in (params or {}).items()]
        items += [("tag", item) for item in (tags or {}).items()]
        items += [("metric", reading) for reading in metrics]
        return [said for chunk in _chunks(items) for said in self._log_chunk(run_id, chunk)]

    def _log_chunk(self, run_id: str, items: list[tuple[str, Any]], stubborn: bool = True) -> list[str]:
        try:
            self._call(
                self._client.log_batch, run_id, stubborn=stubborn,
                metrics=[self._metric(r.key, r.value, r.ms, r.step) for kind, r in items if kind == "metric"],
                params=[self._param(*pair) for kind, pair in items if kind == "param"],
                tags=[self._tag(*pair) for kind, pair in items if kind == "tag"],
            )  # fmt: skip
            return []
        except Vanished:
            raise
        except Refused as error:
            if len(items) == 1:
                kind, item = items[0]
                return [f"{kind} {item[0]!r}: {error}"]
        # One odd item spoils the call for all: halve until it stands alone.
        half = len(items) // 2
        return self._log_chunk(run_id, items[:half], False) + self._log_chunk(run_id, items[half:], False)

    def terminate(self, run_id: str, status: str, ms: int) -> None:
        """Give a run its final status and end time."""
        self._call(self._client.set_terminated, run_id, status, end_time=ms)

    def reopen(self, run_id: str) -> None:
        """Set an ended run to RUNNING again."""
        self._call(self._client.update_run, run_id, status="RUNNING")

    def upload(self, run_id: str, file: Path, into: str | None) -> None:
        """Copy `file` to the run's artifacts, into the folder `into`. Raises OSError when it cannot be read."""
        if (folder := self._folders.get(run_id)) is not None:
            # What MLflow would do, without the query by which it finds the folder (a quarter of a trial's cost).
            with file.open("rb") as source:
                self._call(_copy, source, folder / (into or "") / file.name)
            return
        with file.open("rb"):
            pass
        self._call(self._client.log_artifact, run_id, str(file), into)

    def upload_text(self, run_id: str, text: str, name: str) -> None:
        """Save a text as an artifact of a run."""
        self._call(self._client.log_text, run_id, text, name)

    def flush(self) -> None:
        """Flush what was written to the disk. SQLite in WAL mode leaves that to us; a server does it itself."""
        if (path := sqlite_path(self.uri)) is None:
            return
        try:
            fd = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # no WAL here: every commit was synced
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # -- calling -----------------------------------------------------------------------------------------

    def _search(self, experiment_id: str, condition: str) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self._call(
                self._client.search_runs, [experiment_id], condition, self._view.ACTIVE_ONLY,
                max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token,
            )  # fmt: skip
            yield from page
            token = page.token
            if not token:
                return

    def _call(self, function: Callable[..., T], *args: Any, stubborn: bool = True, **kwargs: Any) -> T:
        waits = iter(_STUBBORN_S if stubborn else ())
        while True:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                kind = kind_of(error)
                if kind is not Away and self._answers():
                    raise kind(sentence_of(error, self.uri)) from error
                # An internal error can be a restart under way, or one item the store trips over each time.
                wait = next(waits, None) if internal(error) and self._answers() else -1.0
                if wait is None:
                    raise Refused(sentence_of(error, self.uri)) from error
                if wait < 0:
                    raise Away(sentence_of(error, self.uri)) from error
                self.repeated = True
                time.sleep(wait)

    def _answers(self) -> bool:
        try:
            self._client.search_experiments(max_results=1)
        except Exception:
            return False
        return True


def _copy(source: BinaryIO, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _chunks(items: list[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    """Cut into calls within all of MLflow's limits at once."""
    limits = {"metric": MAX_METRICS, "param": MAX_PARAMS, "tag": MAX_TAGS}
    chunk: list[tuple[str, Any]] = []
    counts = dict.fromkeys(limits, 0)
    size = 0
    for kind, item in items:
        cost = 130 + len(item[0]) * 6 if kind == "metric" else 40 + len(json.dumps(item))  # as JSON, at most
        if chunk and (counts[kind] == limits[kind] or len(chunk) == MAX_METRICS or size + cost > MAX_BYTES):
            yield chunk
            chunk, counts, size = [], dict.fromkeys(limits, 0), 0
        chunk.append((kind, item))
        counts[kind] += 1
        size += cost
    if chunk:
        yield chunk
