"""Learning rate, momentum and batch size at each step, as pure functions.

Nothing here has a state, so a resumed training needs nothing restored, and a scheduler cannot be one
step ahead of its optimiser. Steps count from 1 to `config.steps`; warm-up lasts the first `warmup` share.

    constant    ----        after a linear warm-up
    cosine      -._         after a linear warm-up (Loshchilov, Hutter 2017, eq. 5, without restarts)
    plateau     -|__        after a linear warm-up, times what stopping.Plateau has made of 1
    one_cycle   /\\          up during the warm-up, down ever after (Smith, Topin 2018, super-convergence)
    triangular  /\\/\\/\\      up and down every `schedule.cycle` steps (Smith 2017, cyclical rates)

No step is wasted at a rate of zero: warm-up starts one step above zero, and cosine and one_cycle would
reach their floor one step after the last. So a training of a single step learns too.
"""

import math

from models.config import Config

DIP = 0.1  # how much less momentum at one_cycle's peak: 0.95 became 0.85 in Smith 2018 (1803.09820, sec. 4.3)


def learning_rate(config: Config, step: int, decayed: float = 1.0) -> float:
    """The rate of `step`; `decayed` is a Plateau's `scale`, and only that schedule looks at it."""
    schedule, steps, warm = config.schedule, config.steps, _warm(config)
    floor = schedule.floor
    if schedule.kind == "triangular":
        return config.lr * _between(floor, 1, _tooth(step, schedule.cycle / 2, schedule.cycle))
    if schedule.kind == "one_cycle":
        return config.lr * _between(floor, 1, _tooth(step, warm + 1, steps + 1))
    if step <= warm:
        return config.lr * step / (warm + 1)
    if schedule.kind == "cosine":
        done = (step - 1 - warm) / (steps - warm)  # 0 at the first step at full rate, below 1 at the last
        return config.lr * _between(floor, 1, (1 + math.cos(math.pi * done)) / 2)
    if schedule.kind == "plateau":
        return config.lr * max(floor, decayed)
    return config.lr


def momentum(config: Config, step: int) -> float:
    """The momentum (Adam's beta 1) of `step`. Under one_cycle it dips as far as the rate rises, which is
    what keeps the large rates stable; otherwise it is `optimizer.momentum` throughout."""
    highest = config.optimizer.momentum
    if config.schedule.kind != "one_cycle":
        return highest
    return _between(highest, max(0.0, highest - DIP), _tooth(step, _warm(config) + 1, config.steps + 1))


def batch_size(config: Config, step: int) -> int:
    """Images in the batch of `step`: times `adabatch.factor` every `adabatch.every` steps, up to `most`.

    The learning rate stays what the schedule says: a batch r times as large at the same rate does to the
    noise of the gradient what dividing the rate by r would, and keeps the GPU busier (AdaBatch:
    Devarakonda, Naumov, Garland 2017, 1712.02029, sec. 3).
    """
    return config.adabatch.batch(config.batch_size, step)


def depends_on_steps(config: Config) -> bool:
    """Whether another `config.steps` would change the rates of the steps before: then a training that was
    done for N steps is not the first half of one for 2N, and can't be made into it."""
    if config.schedule.kind in ("constant", "plateau"):
        return config.schedule.warmup > 0  # a share of the steps
    return config.schedule.kind != "triangular"


def _warm(config: Config) -> int:
    """Steps of the warm-up. The last step is never one of them: some step must have the full rate."""
    return min(round(config.schedule.warmup * config.steps), config.steps - 1)


def _tooth(t: float, peak: float, period: float) -> float:
    """0 at t = 0, straight up to 1 at `peak`, straight down to 0 at `period`, and again."""
    t %= period
    return t / peak if t <= peak else (period - t) / (period - peak)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
