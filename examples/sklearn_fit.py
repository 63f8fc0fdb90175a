"""scikit-learn: train in steps with `partial_fit`, and report after each. `tuner sweep examples/sklearn_fit.toml`"""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split


def train(*, alpha: float = 1e-4, eta0: float = 0.01, epochs: int = 5, seed: int = 0, report):
    """An estimator without `partial_fit` is fitted once, and its score returned."""
    x, y = load_digits(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x / 16, y, random_state=0)
    model = SGDClassifier(alpha=alpha, eta0=eta0, learning_rate="constant", random_state=seed)
    for epoch in range(epochs):
        model.partial_fit(x_train, y_train, classes=range(10))
        report({"step": epoch, "error": 1 - model.score(x_valid, y_valid)})
