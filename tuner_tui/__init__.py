"""tuner: hyperparameter searches in the terminal, recorded in MLflow; in Python, `open_study` gives their studies.

The rooms, in the order data passes through them: `search` (what to try), `engine` (making it happen), `study` (what
happened: the journal and its fold), `record` (the copy in MLflow), `sources` (where studies are: ours and those of
other programs), `analysis` (what it means), `view` (how it is shown), `report` and `ui` (its two faces). `cli` holds
the verbs. Who may import whom is written in pyproject.toml and tested.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sources.source import Source

__all__ = ["open_study"]
__version__ = "0.1.0"


def open_study(
    study: str | None = None,
    name: str | None = None,
    *,
    mlruns: str | PathLike = "mlruns",
    objective: str | None = None,
    direction: str | None = None,
    space: str | PathLike | None = None,
    tracking_uri: str | None = None,
) -> Source:
    """A recorded study; `.snapshot()` reads all that is known of it now.

    `study` is a study's name under `mlruns` or its beginning (None: the newest), or an address such as
    "optuna:sqlite:///trials.db", where `name` says which of its studies (None: the newest). For "mlflow:EXPERIMENT",
    `objective` names the metric that is the loss, `direction` is "minimize" or "maximize", `space` a search file
    whose [space] says what was varied, and `tracking_uri` the store, as for `tuner open`.
    Raises SourceError, whose text says why, when there is none or it can't be read.
    """
    from pathlib import Path

    from .sources import find_source
    from .sources.source import Wanted

    wanted = Wanted(objective, direction, Path(space) if space is not None else None, tracking_uri)
    return find_source(Path(mlruns), study, name, wanted)
