"""How many metrics a second reach MLflow's SQLite store: through our one publisher, and from four processes
that each call `mlflow.log_metric`, as training code does by itself. And what a trial that ends at once costs.

    python benchmarks/writer.py [--metrics N] [--seconds S] [--trials N] [--blocks N]

Both write to fresh stores on the same disk, one after the other. Ours is timed from a journal on disk to the
last row committed and synced; theirs for S seconds after all four have begun. The goal: 5,000 a second.

An instant trial (a parameter, a measurement, an end) is written in three ways, in turns, N trials at a time in one
process: by the publisher, from its journal; by the fewest calls that MLflow has for it (create_run with all tags,
log_batch, set_terminated), which nobody who uses MLflow can undercut; and as training code does it. The times are the
median processor time (user and system) of a trial over the blocks, so other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median

from tuner_tui.record.opening import prepare_environment
from tuner_tui.search.search import Search
from tuner_tui.search.space import Space
from tuner_tui.study.events import Event, StudyOpened, TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.outcomes import Outcome

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


def instant(root: Path, trials: int, blocks: int) -> dict[str, float]:
    """Milliseconds of processor time of an instant trial, by the way it is written."""
    import mlflow
    from mlflow.entities import Metric, Param

    from tuner_tui.record.opening import open_client
    from tuner_tui.record.plan import before_anything
    from tuner_tui.record.publish import Publisher

    def events(first: int) -> list[Event]:
        return [
            event
            for n in range(first, first + trials)
            for event in (
                TrialStarted(2.0 + n, n, {"lr": 0.1}, seed=n), TrialMeasured(2.1 + n, n, 0, {"loss": 1.0 / (n + 1)}),
                TrialEnded(2.2 + n, n, Outcome.FINISHED),
            )
        ]  # fmt: skip

    folder = StudyFolder(root / "instant-1")
    folder.path.mkdir(parents=True)
    journal = JournalWriter(folder.journal)
    journal.append([StudyOpened(1.0, "instant-1", QUESTION, pid=1)])
    publisher = Publisher(folder, f"sqlite:///{root / 'instant.db'}")
    publisher.step()
    uri = f"sqlite:///{root / 'calls.db'}"
    client = open_client(uri, root)  # the same settings of the database
    experiment = client.create_experiment("instant", artifact_location=(root / "calls").as_uri())
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("instant")
    writes = (
        before_anything("instant-1")
        .tell([StudyOpened(1.0, "instant-1", QUESTION, pid=1), *events(0)])[1]
        .runs
    )

    def published(first: int) -> None:
        journal.append(events(first))
        while publisher.step():
            pass

    def fewest_calls(first: int) -> None:
        for write in writes:
            run = client.create_run(experiment, start_time=write.begins, tags=write.tags).info.run_id
            metrics = [Metric(r.key, r.value, r.ms, r.step) for r in write.metrics]
            client.log_batch(run, metrics=metrics, params=[Param(*pair) for pair in write.params.items()])
            assert write.ends
            client.set_terminated(run, *write.ends)

    def by_itself(first: int) -> None:
        for n in range(first, first + trials):
            with mlflow.start_run():
                mlflow.log_params({"lr": 0.1})
                mlflow.set_tags({"trial": n, "seed": n})
                mlflow.log_metric("loss", 1.0 / (n + 1), step=0)

    ways = {"publisher": published, "fewest calls": fewest_calls, "training code": by_itself}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for block in range(blocks + 1):
        for name, write in ways.items():
            began = time.process_time()
            write(block * trials)
            spent[name].append(1e3 * (time.process_time() - began) / trials)
    journal.close()
    return {name: median(times[1:]) for name, times in spent.items()}  # the first one warms caches up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=9)
    given = parser.parse_args()
    prepare_environment()
    with tempfile.TemporaryDirectory() as folder:
        cost = instant(Path(folder), given.trials, given.blocks)
    print("an instant trial, ms of processor time")
    for name, spent in cost.items():
        print(f"{name:<28} {spent:>9.1f}   {spent / cost['fewest calls']:.2f}x of the fewest calls")
    with tempfile.TemporaryDirectory() as folder:
        one, four = ours(Path(folder), given.metrics), theirs(Path(folder), given.seconds)
    print(
        f"one publisher                {one:>9,.0f} metrics/s   (goal {GOAL:,}: {'met' if one >= GOAL else 'MISSED'})"
    )
    print(f"four processes, log_metric   {four:>9,.0f} metrics/s")
    print(f"ratio                        {one / four:>9,.0f}×")


if __name__ == "__main__":
    main()
