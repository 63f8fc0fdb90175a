"""`tuner compare`: the same search, or the bundled problems, with several samplers, each so many times.

On a search of one's own each sweep is a study, run by the same engine, in a folder of its own beside the others:
`mlruns/NAME-compare/SAMPLER-REPEAT`. The same command goes on where an earlier one ended. These studies are not
copied to MLflow. On the bundled problems a trial is computed at once, in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from .analysis.comparison import Comparison, Run, compare
from .engine.sampler import check_sampler
from .launch import BadInput, Resources, run_unpublished, settled, study_at
from .report.atomic import write_text
from .search.file import load_search
from .search.problems import nearest
from .search.sampling import SAMPLERS
from .search.search import Search
from .study.folder import StudyFolder
from .study.outcomes import Outcome
from .study.snapshot import Snapshot

TWICE = "random2x"  # random search with two trials for one of the others: Recht's yardstick
DEFAULT = ("random", TWICE, "qmc", "tpe", "gp", "cmaes", "controller")
_ELSEWHERE = 1_000_000  # is added to the seeds of random2x: its trials are not those of random
Note = Callable[[str], None]


def chosen_samplers(text: str) -> tuple[str, ...]:
    """The names in `--samplers`. Raises BadInput for one that there is not, or fewer than two."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = (*SAMPLERS, TWICE)
    for name in names:
        if name not in known:
            raise BadInput(
                f"--samplers: unknown sampler {name!r}{nearest(name, known) or f'; there are {known}'}"
            )
    if len(names) < 2:
        raise BadInput("--samplers: name two at least, such as random,tpe")
    return names


def seed_of_repeat(seed: int, sampler: str, repeat: int) -> int:
    """The seed of one sweep."""
    return seed + repeat + (_ELSEWHERE if sampler == TWICE else 0)


def compare_on_problems(
    samplers: Sequence[str], repeats: int, trials: int, problems: Sequence[str], seed: int, note: Note
) -> Comparison:
    """The bundled problems, or those that are named. Raises BadInput for another, BadSampler without a package."""
    from .engine.playing import play
    from .engine.problems import PROBLEMS

    names = [problem.name for problem in PROBLEMS]
    for name in problems:
        if name not in names:
            raise BadInput(f"--problem {name}: there is no such problem; there are {', '.join(names)}")
    chosen = [problem for problem in PROBLEMS if not problems or problem.name in problems]
    for sampler in samplers:
        check_sampler(chosen[0].search(_drawn_by(sampler), trials, 0))
    runs: list[Run] = []
    for problem in chosen:
        for sampler in samplers:
            count = trials * (2 if sampler == TWICE else 1)
            for repeat in range(repeats):
                seeded = seed_of_repeat(seed, sampler, repeat)
                losses = play(problem, _drawn_by(sampler), count, repeat, seeded)
                runs.append(Run(problem.name, sampler, repeat, losses))
            note(f"{problem.name}: {sampler} done")
    return compare(runs, trials)


def compare_on_search(
    root: Path, source: Path, overrides: Sequence[str], samplers: Sequence[str], repeats: int,
    resources: Resources, note: Note,
) -> Comparison | None:  # fmt: skip
    """A search of one's own. None when it was interrupted: the same command goes on."""
    searches = {
        sampler: load_search(source, [*overrides, f"sampler={_drawn_by(sampler)}"]) for sampler in samplers
    }
    first = searches[samplers[0]]
    for search in searches.values():
        check_sampler(search)
    resources = settled(first, resources)
    there = root / f"{first.name}-compare"
    runs: list[Run] = []
    for repeat in range(repeats):
        for sampler, search in searches.items():
            folder = study_at(there, f"{sampler}-{repeat}", _swept(search, first, sampler, repeat), resources)
            snapshot = _finished(folder) or run_unpublished(folder, note)
            if snapshot is None:
                return None
            runs.append(Run(first.name, sampler, repeat, _losses(snapshot)))
            note(f"{folder.path}: {snapshot.counts.finished} of {snapshot.planned} trials finished")
    return compare(runs, first.trials)


def write_comparison(found: Comparison, path: Path) -> None:
    """As JSON. Raises ReportNotWritten."""
    record = {
        "samplers": found.samplers,
        "problems": found.problems,
        "repeats": found.repeats,
        "trials": found.trials,
        "ranks": {sampler: asdict(share) for sampler, share in found.ranks.items()},
        "ahead": [
            {"sampler": sampler, "of": rival} | asdict(share)
            for (sampler, rival), share in found.wins.items()
        ],
        "best_so_far": [
            {"problem": problem, "sampler": sampler, "bands": [_finite(asdict(band)) for band in bands]}
            for (problem, sampler), bands in found.bands.items()
        ],
        "failed": dict(found.failed),
    }
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def _finite(band: dict[str, float]) -> dict[str, float | None]:
    """None where no trial had a result yet."""
    return {key: None if value == float("inf") else value for key, value in band.items()}


def _drawn_by(sampler: str) -> str:
    return "random" if sampler == TWICE else sampler


def _swept(search: Search, first: Search, sampler: str, repeat: int) -> Search:
    """One sweep of the comparison: all have the trials of the first, random2x twice as many."""
    from dataclasses import replace

    trials = first.trials * (2 if sampler == TWICE else 1)
    return replace(search, trials=trials, seed=seed_of_repeat(search.seed, sampler, repeat))


def _finished(folder: StudyFolder) -> Snapshot | None:
    """The study if all of its trials have ended."""
    snapshot = folder.snapshot()
    counts = snapshot.counts
    return snapshot if snapshot.opened_at and counts.planned and counts.ended == counts.planned else None


def _losses(snapshot: Snapshot) -> tuple[float | None, ...]:
    """By trial, smaller is better; None for one that did not finish."""
    return tuple(
        snapshot.search.sign * trial.value
        if trial.outcome is Outcome.FINISHED and trial.value is not None
        else None
        for _, trial in sorted(snapshot.trials.items())
    )
