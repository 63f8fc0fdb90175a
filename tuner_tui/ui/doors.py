"""What the screen asks others to do: start and resume engines, draw trials. Passed in, so that nothing here imports
an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..search.search import Search
from ..sources.source import Source
from ..study.folder import StudyFolder


@dataclass(frozen=True)
class Doors:
    """Exceptions that any of these raise are shown to the person as they read."""

    start: Callable[[Search, Path | None, str], StudyFolder]  # a search, the file it is as it stands, GPUs
    find_lr: Callable[[str], StudyFolder]  # the learning-rate finder of a built-in search or a file
    resume: Callable[[Source], None]
    draw: Callable[[Search, int], Sequence[dict[str, Any]]]  # the parameters of the first trials
