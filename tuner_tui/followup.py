"""The searches that follow up a study: its best trials refined, confirmed with new seeds, or taken apart.

Each reads a study that is over and makes the search of another; `launch.py` runs it like any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .launch import BadInput, Resources, describe_target, interpreter_of
from .search.file import parse_search
from .search.problems import Problem, SearchError
from .search.search import ABLATION, CONFIRMATION, Search, refine_search
from .search.write import to_toml
from .study.folder import StudyFolder
from .study.journal import check_writable

if TYPE_CHECKING:
    from .search.again import Again


def refinement_of(folder: StudyFolder, number: int | None, settings: Sequence[str]) -> Search:
    """The search that refines a study's best trial, or the one of this number, with what `--set` changes.

    Raises SearchError when the study's search names no refiner, BadInput when there is no such trial.
    """
    snapshot = folder.snapshot()
    search = snapshot.search
    if not search.refiner:
        message = 'missing; name what improves a trial: refiner = "module:function" (docs/search-files.md)'
        raise SearchError([Problem(str(folder.search_file), "refiner", message)])
    trial = snapshot.best if number is None else snapshot.trials.get(number)
    if trial is None:
        wanted = "no trial has finished" if number is None else f"--trial {number}: there is no such trial"
        raise BadInput(f"{folder.name}: {wanted}; `tuner list` counts the trials")
    made = refine_search(search, trial.params, f"{folder.name} trial {trial.number}")
    return parse_search(to_toml(made), str(Path(search.folder) / "search.toml"), settings)


def confirmation_of(folder: StudyFolder, top: int, seeds: int, seed: int | None = None) -> Search:
    """The search that runs the best trials of a study, and its median trial, again with new seeds.

    Raises BadInput where the study runs, no trial has finished, or the seed is none of tuner's to give.
    """
    from .analysis.confirmation import chosen_for
    from .search.again import Again, Point

    if folder.engine_alive():
        raise BadInput(
            f"{folder.name} is running and its best trials may change; stop it, or wait until it is done"
        )
    snapshot = folder.snapshot()
    check_writable(snapshot)
    chosen = chosen_for(snapshot, top)
    if not chosen:
        raise BadInput(f"{folder.name}: no trial has finished, so there is none to confirm")
    points = tuple(Point(label, dict(trial.params), trial.number, trial.value) for label, trial in chosen)
    again = Again(folder.name, points, snapshot.counts.finished)
    return _again(folder, snapshot.search, again, CONFIRMATION, "confirm", seeds, seed)


def ablation_of(folder: StudyFolder, start: int | None, seeds: int, seed: int | None = None) -> Search:
    """The search that runs the path from the defaults (or from trial `start`) to the best trial of a study.

    Raises BadInput where the study runs, no trial has finished, there is no such trial or no default of a
    hyperparameter, or nothing on the path; BadTarget where the target can't be asked for its defaults.
    """
    from .analysis.ablation import path
    from .search.again import Again

    if folder.engine_alive():
        raise BadInput(
            f"{folder.name} is running and its best trial may change; stop it, or wait until it is done"
        )
    snapshot = folder.snapshot()
    check_writable(snapshot)
    search = snapshot.search
    if start is not None:
        if start not in snapshot.trials:
            raise BadInput(f"--from {start}: {folder.name} has had no such trial")
        at, name = snapshot.trials[start].params, f"trial {start}"
    else:
        defaults = _defaults(search, Resources.load(folder)) | dict(search.fixed)
        missing = [h.name for h in search.space if h.name not in defaults and h.applies(defaults)]
        if missing:
            raise BadInput(
                f"{search.runs}: no default of {', '.join(missing)} is known; begin at a trial: --from TRIAL"
            )
        at, name = defaults, "the defaults"
    points = path(snapshot, {k: v for k, v in at.items() if k in search.space.names}, name)
    if len(points) < 2:
        why = "no trial has finished" if not points else f"{name} are those of the best trial"
        raise BadInput(f"{folder.name}: {why}, so there is no path to run")
    again = Again(folder.name, points, snapshot.counts.finished)
    return _again(folder, search, again, ABLATION, "ablate", seeds, seed)


def _defaults(search: Search, resources: Resources) -> dict[str, Any]:
    """The defaults of a target's parameters, or of a script's options by what the command calls them."""
    interpreter, _ = interpreter_of(search, resources.python)
    if not search.command:
        return dict(describe_target(search, interpreter).defaults)
    from .engine.looking import options_of_script

    script = next((word for word in search.command if word.endswith(".py")), None)
    if script is None:
        return {}
    found = options_of_script(Path(search.folder or ".", script), interpreter)
    return {option.name: option.default for option in found if option.default is not None}


def _again(
    folder: StudyFolder, search: Search, again: Again, kind: str, word: str, seeds: int, seed: int | None
) -> Search:
    """A search of its own for configurations of a study, each so many times."""
    from .engine.engine import fresh_seed

    if search.again is not None:
        raise BadInput(f"{folder.name} runs trials of {search.again.study} again; {word} that study")
    if any("seed" in point.params for point in again.points):
        raise BadInput(
            f"{folder.name}: `seed` is one of its parameters, so its trials can't be given a new one"
        )
    earlier = sum(path.name.startswith(f"{folder.name}-{word}-") for path in folder.path.parent.iterdir())
    return replace(
        search, name=f"{folder.name}-{word}", kind=kind, again=again, trials=seeds * len(again.points),
        seed=fresh_seed(search.seed, word, earlier) if seed is None else seed, sampler="random", sampler_options={},
        pruner="none", pruner_options={},
    )  # fmt: skip
