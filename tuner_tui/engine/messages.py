"""What a trial may say to the engine. The pipe is not to be trusted: the target can write to it, by accident or not.

Each function takes a message as JSON gave it and returns a value the engine can work with, or None for what is no
such message. Nothing here raises, whatever the message holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..search.space import Distribution, distribution_from_json
from ..study.events import decode_number

_LONGEST_NAME = 250  # of a measurement: what MLflow takes
_LONGEST_TEXT = 1000
_LARGEST_STEP = 2**63 - 1  # what a database column holds
_LATEST = 1e11  # seconds since the epoch, the year 5138: a time behind it is no time
_ENDS = ("returned", "stopped", "exit", "raised")


@dataclass(frozen=True)
class Measurement:
    """One message of measurements."""

    step: int
    values: dict[str, float]
    at: float


@dataclass(frozen=True)
class Suggestion:
    """A hyperparameter that the target drew itself."""

    name: str
    value: bool | int | float | str
    distribution: Distribution


def measurement(message: Mapping[str, Any]) -> Measurement | None:
    """{"step": 12, "values": {"loss": 0.5}, "at": 1700000000.0}"""
    step, values, at = message.get("step"), message.get("values"), message.get("at")
    if not isinstance(step, int) or not _is_whole(step) or not isinstance(values, dict) or not values:
        return None
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 < at < _LATEST:
        return None
    try:
        numbers = {
            name: decode_number(value) for name, value in values.items() if not isinstance(value, bool)
        }
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if len(numbers) < len(values) or any(not _is_name(name) for name in numbers):
        return None
    return Measurement(step, numbers, float(at))


def last_word(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """{"end": "raised", "type": "ValueError", "message": "...", ...}, with every key of its kind and type."""
    end, code = message.get("end"), message.get("code", 1)
    if not isinstance(end, str) or end not in _ENDS:
        return None
    word: dict[str, Any] = {"end": end, "code": code if _is_whole(code) else 1}
    word |= {key: _text(message.get(key, "")) for key in ("type", "message", "where")}
    word |= {key: message.get(key) is True for key in ("memory", "diverged", "pruned", "terminated")}
    word["type"] = word["type"] or "an exception"
    return word


def suggestion(message: Mapping[str, Any]) -> Suggestion | None:
    """{"suggested": "lr", "value": 0.1, "distribution": {"type": "float", ...}}"""
    name, value = message.get("suggested"), message.get("value")
    if not _is_name(name) or not isinstance(value, bool | int | float | str):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        return Suggestion(str(name), value, distribution_from_json(message["distribution"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_STEP


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME


def _text(value: object) -> str:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""
