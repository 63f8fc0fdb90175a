"""A learning rate finder: trains briefly with a rising rate, and suggests where the loss falls fastest.

The learning-rate range test of Smith (2017), with the smoothing and the stopping rule of its usual
implementations: the rate rises exponentially, the loss is averaged with a bias-corrected exponential mean, and
the run ends when that mean is four times its minimum. A mean of the past says at each step what was true some
steps ago, when the rate was two fifths of what it is: so it is put to the rate of then. The suggestion is the
rate of its steepest fall; a schedule's `lr` is its highest value, so it is used as it is.

It is a generator of measurements like `models.train.train`: `tuner find-lr caption` runs it as a trial.
"""

import math
from collections.abc import Iterator
from typing import Any

from models.config import Config
from models.train import prepare

LOWEST, HIGHEST = 1e-6, 10.0  # from "nothing moves" to "everything breaks", for any optimiser here
RAMP = 120  # steps from one to the other: 17 per decade, about a minute on a CPU
SMOOTHING = 0.9  # of the exponential mean: about ten steps, over half a decade
LAG = math.log(0.5) / math.log(SMOOTHING)  # steps: half of the mean's weight is on older losses
WORSE = 4.0  # times the lowest mean: the run ends there
SETTLED = 10  # steps before which the mean is ignored


def find(*, seed: int = 0, device: str = "cpu", **hypers: Any) -> Iterator[dict[str, float]]:
    """Yields {"step", "lr", "loss", "loss/smoothed"} after every step, and "lr/suggested" with the last.

    `hypers` are those of models.config; its schedule and its steps are not used. Before the first step it
    raises ValueError and OutOfMemory as `train` does, and ValueError at the end if the loss never fell.
    """
    config = Config.of(hypers)
    learner = prepare(config, seed, device, print).learner
    learner.try_out(config.batch_size)
    curve: list[tuple[float, float]] = []
    mean = 0.0
    for step in range(RAMP):
        lr = rate(step)
        learner.learn(config.batch_size, lr, config.optimizer.momentum)
        loss = learner.mean_loss()
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING ** (step + 1))
        curve.append((rate(step - LAG), smooth))
        measured = {"step": step + 1, "lr": lr, "loss": loss, "loss/smoothed": smooth}
        exploded = not math.isfinite(loss) or (step > SETTLED and smooth > WORSE * min(s for _, s in curve))
        if exploded or step == RAMP - 1:
            finite = [(r, s) for r, s in curve if math.isfinite(s)]
            if not math.isfinite(smooth):  # a trial that ends with such a loss would be one that diverged
                measured |= {"loss": finite[-1][1], "loss/smoothed": finite[-1][1]}
            yield measured | {"lr/suggested": suggested(finite)}
            return
        yield measured


find.hypers = Config.names()


def rate(step: float) -> float:
    """The learning rate of a step; steps count from 0 and may be fractions."""
    return LOWEST * (HIGHEST / LOWEST) ** (step / (RAMP - 1))


def suggested(curve: list[tuple[float, float]]) -> float:
    """The rate at which the smoothed loss falls fastest with log lr, before it reaches its minimum.

    curve is (rate, smoothed loss), rates rising. Raises ValueError when it never falls.
    """
    falls = [
        (b[1] - a[1], math.sqrt(a[0] * b[0]))
        for a, b in zip(curve[SETTLED:], curve[SETTLED + 1 :], strict=False)
    ]
    lowest = min(range(len(curve)), key=lambda i: curve[i][1])
    before = [f for f in falls[: max(0, lowest - SETTLED)] if f[0] < 0]
    if not before:
        raise ValueError(
            f"the loss never fell between lr {curve[0][0]:g} and {curve[-1][0]:g}; "
            f"look at the data, or lower the depth"
        )
    return min(before)[1]
