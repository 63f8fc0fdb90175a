"""Which measurement is the training's own value of the objective: `loss/train` where the objective is `loss/valid`.

The names are those that the common frameworks write. An objective that is itself measured on training data, and one
without such a twin, have none.
"""

from __future__ import annotations

import re
from functools import lru_cache

_HELD_OUT = frozenset({"valid", "validation", "val", "dev", "test", "eval", "holdout"})
_TRAIN = ("train", "training")


@lru_cache(maxsize=64)
def twins(objective: str) -> tuple[str, ...]:
    """Names under which the objective on training data may be measured, the likeliest first; none is `objective`.

    `val_loss` has `train_loss`, `training_loss` and Keras' plain `loss`; `loss` has `train_loss`, `loss/train`, ...
    """
    parts = re.split(r"([/_.\- ])", objective)
    if any(part.lower() in _TRAIN for part in parts):
        return ()
    held_out = [place for place, part in enumerate(parts) if part.lower() in _HELD_OUT]
    if not held_out:
        return tuple(f"{train}{mark}{objective}" for train in _TRAIN for mark in "_/") + tuple(
            f"{objective}{mark}{train}" for train in _TRAIN for mark in "/_"
        )
    place = held_out[0]
    named = ["".join((*parts[:place], train, *parts[place + 1 :])) for train in _TRAIN]
    if place == 0 and parts[1:2] == [
        "_"
    ]:  # Keras' and Hugging Face's way: `loss` beside `val_loss`, `eval_loss`
        named.append("".join(parts[2:]))
    return tuple(named)
