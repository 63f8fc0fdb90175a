"""The smallest question a study can answer, for tests that are about something else."""

from __future__ import annotations

from typing import Any

from tuner_tui.search.search import Search
from tuner_tui.search.space import Space
from tuner_tui.study.events import StudyOpened


def question(**changes: Any) -> Search:
    asked: dict[str, Any] = {"name": "s", "target": "m:f", "objective": "loss", "space": Space()}
    return Search(**asked | changes)


def opened(at: float = 1.0, study: str = "s-1", *, pid: int = 1, resumed: bool = False, **changes: Any):
    """The opening of a study; `changes` are of the question, or `host`, `git_commit` and `versions`."""
    facts = {name: changes.pop(name) for name in ("host", "git_commit", "versions") if name in changes}
    return StudyOpened(at, study, question(**changes), pid=pid, resumed=resumed, **facts)
