"""XGBoost: a callback that reports the validation metrics after each tree."""

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


class Reporter(xgboost.callback.TrainingCallback):
    """For `xgboost.train(callbacks=[...])` and for `XGBClassifier(callbacks=[...])`."""

    def __init__(self, report):
        super().__init__()
        self.report = report

    def after_iteration(self, model, epoch, evals_log):
        """Called by XGBoost after each tree; False: go on."""
        values = {f"{data}/{name}": log[-1] for data, logs in evals_log.items() for name, log in logs.items()}
        self.report({"step": epoch, **values})
        return False


def train(*, eta: float = 0.3, max_depth: int = 6, rounds: int = 20, seed: int = 0, report):
    """Objective: `valid/logloss`."""
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x, y, random_state=0)
    xgboost.train(
        {"objective": "binary:logistic", "eta": eta, "max_depth": max_depth, "seed": seed},
        xgboost.DMatrix(x_train, y_train), rounds, evals=[(xgboost.DMatrix(x_valid, y_valid), "valid")],
        verbose_eval=False, callbacks=[Reporter(report)],
    )  # fmt: skip
