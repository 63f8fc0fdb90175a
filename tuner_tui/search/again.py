"""A search that runs given configurations again, with new seeds: a confirmation or an ablation of another study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One configuration."""

    label: str  # what it is in the other study: "trial 12", "the median trial"
    params: Mapping[str, Any]  # all that its trials are given, fixed values included
    trial: int | None = None  # the trial of the other study that had them
    value: float | None = None  # ... and its value there


@dataclass(frozen=True)
class Again:
    """Configurations of a study, each to be run as often as the others."""

    study: str  # its name
    points: tuple[Point, ...]
    candidates: int = 0  # trials of the study that finished: the best was chosen from so many

    def point_of(self, number: int) -> int:
        """Which point a trial runs. Taken in turn, so that a study that is stopped has run each about as often."""
        return number % len(self.points)

    def to_json(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {
            "study": self.study,
            "candidates": self.candidates,
            "points": [asdict(point) | {"params": dict(point.params)} for point in self.points],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Again | None:
        """Again what `to_json` gave. Raises KeyError or TypeError for anything else."""
        if record is None:
            return None
        points = tuple(Point(p["label"], p["params"], p["trial"], p["value"]) for p in record["points"])
        return cls(record["study"], points, record["candidates"])
