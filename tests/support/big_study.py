"""A study of any size with twelve hyperparameters, of which a few matter: what people look at all day.

Planted: the loss is a V over log10 of `lr`, worse for `optimizer = sgd`, and grows a little with `dropout`; trials
crash at their start the more often the larger `width` is; six in a hundred time out, four diverge, two end below
zero and two at 1e12.
"""

from __future__ import annotations

import math
import random

from support.studies import Made, draw_params, events_of
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.events import Event
from tuner_tui.study.outcomes import Reason

BIG_SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True), "optimizer"),
        Hyperparameter("momentum", Float(0.0, 0.99), "optimizer"),
        Hyperparameter("batch_size", Int(4, 64), "optimizer"),
        Hyperparameter("optimizer", Choice(("adam", "sgd", "rmsprop")), "optimizer"),
        Hyperparameter("width", Int(16, 512, log=True), "model"),
        Hyperparameter("depth", Int(2, 24), "model"),
        Hyperparameter(
            "kind", Choice(("a_very_straight_dilated", "a_very_straight_residual", "a_very_plain")), "model"
        ),
        Hyperparameter("dropout", Float(0.0, 0.6), "model"),
        Hyperparameter("norm", Choice((False, True)), "model"),
        Hyperparameter("merger.kind", Choice(("attention", "conv")), "merger"),
        Hyperparameter("merger.depth", Int(4, 64), "merger", when=(("merger.kind", ("conv",)),)),
        Hyperparameter("warmup", Int(0, 1000), "optimizer"),
    )
)


def big_events(trials: int, seed: int = 1) -> list[Event]:
    """The journal of such a study, done."""
    rng = random.Random(seed)
    made: list[Made] = []
    for _ in range(trials):
        params = draw_params(BIG_SPACE, rng)
        loss = 0.1 + 0.3 * abs(math.log10(params["lr"]) + 3) + 0.2 * (params["optimizer"] == "sgd")
        loss += rng.uniform(0, 0.1) + 0.1 * params["dropout"]
        size = math.log(params["width"] / 16) / math.log(32)
        if rng.random() < 0.02 + 0.35 * size**2:
            made.append(Made(params, reason=Reason.OUT_OF_MEMORY))
            continue
        kind = rng.random()
        if kind < 0.06:
            made.append(Made(params, (loss * 1.5,), Reason.TIMEOUT))
        elif kind < 0.10:
            made.append(Made(params, (loss * 2, math.nan)))
        elif kind < 0.12:
            made.append(Made(params, (-abs(rng.gauss(0.05, 0.02)),)))
        elif kind < 0.14:
            made.append(Made(params, (1e12,)))
        else:
            made.append(Made(params, (loss * 1.2, loss)))
    return events_of(BIG_SPACE, made, name="big")
