"""LightGBM: a callback that reports the validation metrics after each tree."""

import lightgbm
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


def reporter(report):
    """A callback for `lightgbm.train(callbacks=[...])` and for `fit(callbacks=[...])` of the estimators."""

    def after_iteration(env):
        values = {f"{data}/{metric}": value for data, metric, value, *_ in env.evaluation_result_list}
        report({"step": env.iteration, **values})

    return after_iteration


def train(*, learning_rate: float = 0.1, num_leaves: int = 31, rounds: int = 20, seed: int = 0, report):
    """Objective: `valid/binary_logloss`."""
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x, y, random_state=0)
    data = lightgbm.Dataset(x_train, y_train)
    lightgbm.train(
        {"objective": "binary", "learning_rate": learning_rate, "num_leaves": num_leaves, "seed": seed,
         "verbose": -1},
        data, rounds, valid_sets=[data.create_valid(x_valid, y_valid)], valid_names=["valid"],
        callbacks=[reporter(report)],
    )  # fmt: skip
