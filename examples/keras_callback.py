"""Keras: a callback that reports the logs of each epoch. Works with every backend of Keras 3."""

import keras
from sklearn.datasets import load_digits


class Reporter(keras.callbacks.Callback):
    """For `model.fit(callbacks=[...])`."""

    def __init__(self, report):
        super().__init__()
        self.report = report

    def on_epoch_end(self, epoch, logs=None):
        """Called by Keras after each epoch: `loss`, and `val_loss` where there is validation data."""
        self.report({"step": epoch, **(logs or {})})


def train(*, lr: float = 1e-3, width: int = 64, epochs: int = 3, seed: int = 0, report):
    """Objective: `val_loss`."""
    keras.utils.set_random_seed(seed)
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential(
        [keras.layers.Input((64,)), keras.layers.Dense(width, "relu"), keras.layers.Dense(10, "softmax")]
    )
    model.compile(keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x / 16, y, epochs=epochs, validation_split=0.2, verbose=0, callbacks=[Reporter(report)])
