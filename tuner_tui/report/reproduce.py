"""How to run a study again: its search file, the commit and the versions it ran with, and what these leave open."""

from __future__ import annotations

from dataclasses import replace

from ..search.search import SWEEP
from ..search.write import to_toml
from ..study.snapshot import Snapshot
from ..study.text import one_line


def search_text(snapshot: Snapshot) -> str:
    """The search file of the study as it is now, with the trials that were added.

    "" where it was no sweep, or nothing says what ran.
    """
    search = snapshot.search
    if not search.runs or search.kind != SWEEP:
        return ""
    return to_toml(replace(search, trials=max(snapshot.planned, 1)))


def sentences(snapshot: Snapshot) -> tuple[str, ...]:
    """What to do with it, and what would differ."""
    search = snapshot.search
    if not search.runs:
        return ("another program ran these trials; nothing here says how to run them again",)
    if search.kind != SWEEP:
        return ("it was made from another search, by tuner find-lr or tuner refine, which make it again",)
    name = one_line(search.name)
    said = [f"save this as {name}.toml beside the code and run: tuner sweep {name}.toml"]
    if search.sampler in ("random", "qmc", "grid"):
        said.append(
            f"trial n of seed {search.seed} has the same hyperparameters and the same seed in each run"
        )
    else:
        said.append(
            f"the sampler {one_line(search.sampler)} learns from earlier trials: other trials will come"
        )
    if snapshot.earlier:
        said.append("the space was changed while the study ran; this is the last one")
    if snapshot.reruns:
        said.append(f"trials run again, as repeats of others: {', '.join(map(str, sorted(snapshot.reruns)))}")
    if snapshot.own is not snapshot:
        said.append("it began with the trials of another study, which are not in this file")
    return tuple(said)


def facts(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Seed, commit and versions, as names and values."""
    found = [("seed", str(snapshot.search.seed)), ("sampler", snapshot.search.sampler or "unknown")]
    found += [("commit", snapshot.git_commit)] if snapshot.git_commit else []
    return [*found, *((name, version) for name, version in sorted(snapshot.versions.items()))]
