"""How many metrics a second reach MLflow's SQLite store: through our one publisher, and from four processes
that each call `mlflow.log_metric`, as training code does by itself.

    python benchmarks/writer.py [--metrics N] [--seconds S]

Both write to fresh stores on the same disk, one after the other. Ours is timed from a journal on disk to the
last row committed and synced; theirs for S seconds after all four have begun. The goal: 5,000 a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

from tuner_tui.record.opening import prepare_environment
from tuner_tui.search.search import Search
from tuner_tui.search.space import Space
from tuner_tui.study.events import StudyOpened, TrialMeasured, TrialStarted
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter

TRIALS = 4  # as many as write in the other half
GOAL = 5000
QUESTION = Search("bench", "m:f", "loss", Space(), trials=TRIALS)


def ours(root: Path, metrics: int) -> float:
    """Metrics a second of the publisher, four trials of two metrics a step."""
    from tuner_tui.record.publish import Publisher

    folder = StudyFolder(root / "bench-1")
    folder.path.mkdir(parents=True)
    journal = JournalWriter(folder.journal)
    journal.append([StudyOpened(1.0, "bench-1", QUESTION, pid=1)])
    publisher = Publisher(folder, f"sqlite:///{root / 'mlflow.db'}")
    publisher.step()  # makes the database and the parent run; not what is measured
    journal.append(TrialStarted(2.0, trial, {"lr": 0.1}, seed=trial) for trial in range(TRIALS))
    steps = metrics // (2 * TRIALS)
    journal.append(
        TrialMeasured(3.0 + step * 0.01, trial, step, {"loss": 1.0 / (step + 1), "accuracy": step / steps})
        for step in range(steps)
        for trial in range(TRIALS)
    )
    journal.close()
    began = time.perf_counter()
    while publisher.step():
        pass
    return steps * 2 * TRIALS / (time.perf_counter() - began)


def theirs(root: Path, seconds: float) -> float:
    """Metrics a second of four processes that each log for themselves."""
    uri = f"sqlite:///{root / 'theirs.db'}"
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("bench", artifact_location=(root / "artifacts").as_uri())  # migrates, once
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(TRIALS)
    counts = context.Queue()
    writers = [context.Process(target=_log, args=(uri, seconds, start, counts)) for _ in range(TRIALS)]
    for writer in writers:
        writer.start()
    total = sum(counts.get() for _ in writers)
    for writer in writers:
        writer.join()
    return total / seconds


def _log(uri: str, seconds: float, start, counts) -> None:
    prepare_environment()
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("bench")
    count = 0
    with mlflow.start_run():
        start.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            mlflow.log_metric("loss", 1.0 / (count + 1), step=count)
            count += 1
    counts.put(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    prepare_environment()
    with tempfile.TemporaryDirectory() as folder:
        one, four = ours(Path(folder), given.metrics), theirs(Path(folder), given.seconds)
    print(
        f"one publisher                {one:>9,.0f} metrics/s   (goal {GOAL:,}: {'met' if one >= GOAL else 'MISSED'})"
    )
    print(f"four processes, log_metric   {four:>9,.0f} metrics/s")
    print(f"ratio                        {one / four:>9,.0f}×")


if __name__ == "__main__":
    main()
