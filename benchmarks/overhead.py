"""What a trial costs beside its training: ours and its peers on the same work, in one run.

The work: trials whose objective returns at once, each with one hyperparameter and one loss, everything logged to an
MLflow SQLite store in a fresh folder, two trials at a time where a peer can. Per trial, wall time:

  tuner            a process of its own a trial, journal and MLflow: the whole command with its start-up, and
                   from the first trial's start until the command ends with everything in MLflow
  fresh process    a loop that starts an interpreter which imports torch: isolation done the plain way
  optuna + mlflow  optuna in this process, each trial logged with mlflow's fluent API: no isolation
  ray tune         Tuner with OptunaSearch (needs the dependency group `peers`; skipped without it)

    python benchmarks/overhead.py [--trials 200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET = """
import torch  # what every real target imports

def train(*, x: float = 1.0) -> float:
    return x
"""

SEARCH = """
name = "instant"
target = "instant:train"
trials = {trials}
parallel = 2
[space]
x = {{ log = [0.01, 10.0] }}
"""

OPTUNA = """
import sys, time
import mlflow, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
trials = int(sys.argv[1])
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("instant")
study = optuna.create_study(storage="sqlite:///optuna.db")
def objective(trial):
    x = trial.suggest_float("x", 0.01, 10.0, log=True)
    with mlflow.start_run():
        mlflow.log_params(trial.params)
        mlflow.log_metric("loss", x, step=0)
        mlflow.set_tag("trial", trial.number)
    return x
begin = time.perf_counter()
study.optimize(objective, n_trials=trials)
print(time.perf_counter() - begin)
"""

RAY = """
import sys, time
from ray import tune
from ray.tune.search.optuna import OptunaSearch
trials = int(sys.argv[1])
begin = time.perf_counter()
def train(config):
    import torch
    tune.report({"loss": config["x"]})
search = OptunaSearch(metric="loss", mode="min")
tuner = tune.Tuner(
    train, param_space={"x": tune.loguniform(0.01, 10.0)},
    tune_config=tune.TuneConfig(search_alg=search, num_samples=trials, max_concurrent_trials=2),
)
tuner.fit()
print(time.perf_counter() - begin)
"""

FRESH_TRIALS = 3  # 4 s each; the figure does not get better by repeating it two hundred times
RAY_TRIALS = 12


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--trials", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    peers = {
        "tuner": ours,
        "fresh process": fresh_process,
        "optuna + mlflow": optuna_in_process,
    }
    if importlib.util.find_spec("ray"):
        peers["ray tune"] = ray_tune
    else:
        print("ray tune: skipped, the dependency group `peers` is not installed")
    seconds: dict[str, list[float]] = {}
    for _ in range(chosen.rounds):  # round by round, so that a slow minute hits everybody
        for name, peer in peers.items():
            with tempfile.TemporaryDirectory() as folder:
                for label, value in peer(Path(folder), chosen.trials).items():
                    seconds.setdefault(f"{name}{label}", []).append(value)
    base = statistics.median(seconds["tuner, from first trial"])
    print(f"{'per trial, wall':<28}{'median':>10}{'min':>10}{'max':>10}{'to ours':>10}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(
            f"{name:<28}{median * 1e3:>7.1f} ms{min(values) * 1e3:>7.1f} ms{max(values) * 1e3:>7.1f} ms"
            f"{median / base:>9.1f}x"
        )


def ours(folder: Path, trials: int) -> dict[str, float]:
    (folder / "instant.py").write_text(TARGET)
    (folder / "tuner.toml").write_text(SEARCH.format(trials=trials))
    begin = time.perf_counter()
    run([sys.executable, "-m", "tuner_tui.cli", "sweep", "--headless"], folder)
    whole, end = time.perf_counter() - begin, time.time()
    study = folder / "mlruns" / "instant-1"
    events = [json.loads(line) for line in (study / "journal.jsonl").read_text().splitlines()]
    starts = [event["at"] for event in events if event["event"] == "trial_started"]
    assert len(starts) == trials, "a trial is missing"
    return {", whole command": whole / trials, ", from first trial": (end - min(starts)) / trials}


def fresh_process(folder: Path, trials: int) -> dict[str, float]:
    begin = time.perf_counter()
    for _ in range(FRESH_TRIALS):
        run([sys.executable, "-c", "import torch"], folder)
    return {"": (time.perf_counter() - begin) / FRESH_TRIALS}


def optuna_in_process(folder: Path, trials: int) -> dict[str, float]:
    return {"": float(run([sys.executable, "-c", OPTUNA, str(trials)], folder).split()[-1]) / trials}


def ray_tune(folder: Path, trials: int) -> dict[str, float]:
    return {"": float(run([sys.executable, "-c", RAY, str(RAY_TRIALS)], folder).split()[-1]) / RAY_TRIALS}


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])}… failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
