"""One study as a line of `tuner list`: for a person, or as JSON."""

from __future__ import annotations

import json

from ..sources.source import Source
from ..study.snapshot import Snapshot
from ..study.text import one_line
from ..view.words import best_words, count_words
from .machine import to_json


def text_line(source: Source, snapshot: Snapshot) -> str:
    """State, counts, best value, and what MLflow would not take."""
    counts, best = snapshot.counts, snapshot.best
    ends = ", ".join(words for outcome, words in count_words(counts) if outcome is not None)
    line = (
        f"{one_line(source.name):<28} {source.state(snapshot):<12} {counts.ended}/{counts.planned} ended: {ends}"
        f"{f', {counts.before} from before' if counts.before else ''}; "
        f"{f'best {best_words(best)}' if best else 'no best yet'}"
    )
    copy = source.publication()
    if copy is not None and copy.problem_count:
        line += f"; MLflow refused {copy.problem_count} things, such as {one_line(copy.problems[-1], 120)}"
    if trouble := source.extent().trouble:
        line += f"; {one_line(trouble)}"
    return line


def json_line(source: Source, snapshot: Snapshot) -> str:
    """The JSON report without its trials, with the study's state, address, plan, and MLflow's copy."""
    report = to_json(snapshot)
    del report["trials"]
    counts, copy = snapshot.counts, source.publication()
    report["counts"] |= {"running": counts.running, "waiting": counts.waiting}
    about = {"state": str(source.state(snapshot)), "address": source.address, "planned": counts.planned}
    if trouble := source.extent().trouble:
        about["trouble"] = trouble
    if copy is not None:
        about["mlflow"] = {
            "uri": copy.uri, "complete": copy.complete, "error": copy.error, "refused": copy.problem_count,
            "problems": list(copy.problems),
        }  # fmt: skip
    return json.dumps(report | about, allow_nan=False, ensure_ascii=False)
