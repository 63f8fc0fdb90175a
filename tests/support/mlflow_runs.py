"""Runs as other people's programs log them to MLflow, for the tests of its source; also such a program:

python mlflow_runs.py URI EXPERIMENT RUNS
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner_tui.record.opening import prepare_environment

prepare_environment()

START_MS = 1_700_000_000_000


class Lab:
    """An experiment in a store, and the runs that are logged to it one after the other."""

    def __init__(self, uri: str, name: str = "digits") -> None:
        from mlflow.tracking import MlflowClient

        self.uri, self.name = uri, name
        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(name)
        self.id = found.experiment_id if found else self.client.create_experiment(name)
        self._clock = START_MS

    def run(
        self,
        losses: Sequence[float] = (),
        *,
        params: Mapping[str, Any] | None = None,
        status: str = "FINISHED",
        metric: str = "val_loss",
        parent: str | None = None,
        at: int | None = None,
        **last: float,
    ) -> str:
        """One run: `losses` at steps 0, 1, ..., other metrics once. `at`: its start in ms. Returns its id."""
        from mlflow.entities import Metric, Param

        self._clock += 60_000
        began = self._clock if at is None else at
        tags = {"mlflow.parentRunId": parent} if parent else {}
        run_id = self.client.create_run(self.id, start_time=began, tags=tags).info.run_id
        readings = [Metric(metric, loss, began + 1000 * step, step) for step, loss in enumerate(losses, 1)]
        readings += [Metric(name, value, began + 1000, 1) for name, value in last.items()]
        texts = [Param(name, str(value)) for name, value in (params or {}).items()]
        self.client.log_batch(run_id, readings, texts)
        if status != "RUNNING":
            self.client.set_terminated(run_id, status, began + 30_000)
        return run_id


def every_end(uri: str) -> Lab:
    """Ten runs: each status with and without the objective, nan and infinity, one that runs, one left behind."""
    lab = Lab(uri)
    nan, inf = float("nan"), float("inf")
    lab.run([0.9, 0.5], params={"lr": 0.001, "kind": "conv", "depth": 4}, acc=0.8)  # 0
    lab.run(params={"lr": 1e-5, "kind": "mlp"}, acc=0.7)  # 1: another metric only
    lab.run([0.8, 0.6], params={"lr": 0.1, "kind": "conv", "depth": 2}, status="FAILED")  # 2
    lab.run(params={"lr": 0.02, "kind": "mlp"}, status="FAILED")  # 3
    lab.run([0.7], params={"lr": 0.003, "kind": "mlp"}, status="KILLED")  # 4
    lab.run([0.4, nan], params={"lr": 0.05, "kind": "conv", "depth": 8})  # 5
    lab.run([nan], params={"lr": 0.09, "kind": "mlp"})  # 6
    lab.run([0.6, inf], params={"lr": 0.08, "kind": "mlp"})  # 7
    lab.run([0.3, nan, 0.2], params={"lr": 0.004, "kind": "mlp"})  # 8: a nan on the way
    lab.run([0.65], params={"lr": 0.007, "kind": "mlp"}, status="RUNNING")  # 9: years ago
    lab.run([0.55], params={"lr": 0.006, "kind": "mlp"}, status="RUNNING", at=int(time.time() * 1000))  # 10
    lab.run(
        params={"lr": 0.005, "kind": "mlp"}, status="RUNNING", at=int(time.time() * 1000)
    )  # not measured yet
    return lab


def copy_of(empty: Path, folder: Path) -> str:
    """The URI of a store of one's own: a copy of an empty one, which takes MLflow seconds to make."""
    shutil.copy(empty, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


if __name__ == "__main__":
    lab = Lab(sys.argv[1], sys.argv[2])
    for number in range(int(sys.argv[3])):
        lab.run([0.5, 0.1 + number / 10], params={"lr": 0.01 * (number + 1)}, at=int(time.time() * 1000))
