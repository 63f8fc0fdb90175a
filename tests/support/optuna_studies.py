"""Studies that Optuna itself wrote, for the tests of their source; also a program: another process adding trials.

python optuna_studies.py STORAGE STUDY TRIALS
"""

from __future__ import annotations

import sys

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)


def storage(place: str) -> str | BaseStorage:
    """What Optuna takes for an URL or the path of a journal."""
    return place if "://" in place else JournalStorage(JournalFileBackend(place))


def every_end(place: str, name: str = "digits") -> optuna.Study:
    """Nine trials: finished with and without intermediate values, both ways of PRUNED, both of FAIL, one whose
    value is infinite, one that runs, one that waits. `depth` is drawn by `conv` alone; larger is better."""
    study = optuna.create_study(study_name=name, storage=storage(place), direction="maximize")
    for number in range(7):
        trial = study.ask()
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        if trial.suggest_categorical("kind", ["conv", None, "mlp"]) == "conv" or number == 0:
            trial.suggest_int("depth", 1, 8 + number)
        match number:
            case 0:
                study.tell(trial, 0.5)
            case 1:
                trial.report(0.1, 1)
                trial.report(0.4, 2)
                study.tell(trial, 0.45)
            case 2:
                trial.report(0.2, 3)
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            case 3:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            case 4:
                trial.report(0.3, 1)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            case 5:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            case 6:
                study.tell(trial, float("inf"))
    study.ask().report(0.15, 4)  # runs, and has drawn nothing yet
    study.enqueue_trial({"lr": 1e-3, "kind": "mlp"})
    return study


def add_trials(place: str, name: str, amount: int) -> None:
    """What another process does: `amount` trials more."""

    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("lr", 1e-5, 1e-1, log=True) * 10

    optuna.load_study(study_name=name, storage=storage(place)).optimize(objective, n_trials=amount)


if __name__ == "__main__":
    add_trials(sys.argv[1], sys.argv[2], int(sys.argv[3]))
