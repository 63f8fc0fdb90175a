"""A search of one trial, and a job, whose target is one of `ways_to_end.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.patience import PATIENCE_S
from tuner_tui.engine.launcher import Job
from tuner_tui.search.search import Limits, Search
from tuner_tui.search.space import Float, Hyperparameter, Space

TESTS = str(Path(__file__).parents[1])
HERE = str(Path(__file__).parent)
LIMITS = Limits(trial_seconds=PATIENCE_S, silent_seconds=PATIENCE_S, grace_seconds=0.3)


def a_search(
    how: str | None = None, *, function: str = "train", limits: Limits = LIMITS, **changes
) -> Search:
    space = Space((Hyperparameter("x", Float(0.1, 10.0, log=True)),))
    fixed = {} if how is None else {"how": how}
    search = Search(
        "ends", f"ways_to_end:{function}", "loss", space, trials=1, limits=limits, fixed=fixed, folder=HERE
    )
    return replace(search, **changes)


def a_job(tmp_path: Path, trial: int, function: str = "train", **params) -> Job:
    target = f"ways_to_end:{function}"
    return Job(trial, target, params, "loss", 7, str(tmp_path / str(trial)), path=[HERE])
