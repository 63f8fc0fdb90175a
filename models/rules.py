"""Rules for the values of hyperparameters: `error` returns None, or the problem and its remedy."""

import difflib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def error(self, value: object) -> str | None:
        """The problem with `value` and its remedy, or None."""
        if isinstance(value, bool) or not isinstance(value, int):
            return f"is not a whole number; give one from {self.low} to {self.high}"
        if not self.low <= value <= self.high:
            return f"is out of range; give a whole number from {self.low} to {self.high}"
        return None


@dataclass(frozen=True)
class Real:
    """A finite number from `low` to `high`; `above` leaves `low` itself out."""

    low: float
    high: float
    above: bool = False

    def error(self, value: object) -> str | None:
        """The problem with `value` and its remedy, or None."""
        start = f"above {self.low:g} and at most" if self.above else f"from {self.low:g} to"
        wanted = f"a number {start} {self.high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"is not a number; give {wanted}"
        within = self.low < value <= self.high if self.above else self.low <= value <= self.high
        if not within:  # nan and infinity are not, either
            return f"is out of range; give {wanted}"
        return None


@dataclass(frozen=True)
class Flag:
    """True or false; 0, 1 and strings are refused."""

    def error(self, value: object) -> str | None:
        """The problem with `value` and its remedy, or None."""
        return None if isinstance(value, bool) else "is not true or false; give one of the two"


@dataclass(frozen=True)
class Kind:
    """One of some names."""

    names: tuple[str, ...]

    def error(self, value: object) -> str | None:
        """The problem with `value` and its remedy, or None."""
        if value in self.names:
            return None
        near = difflib.get_close_matches(str(value), self.names, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        return f"is not a known kind; {meant}choose {_either(self.names)}"


@dataclass(frozen=True)
class Text:
    """A word or a path."""

    what: str

    def error(self, value: object) -> str | None:
        """The problem with `value` and its remedy, or None."""
        return None if isinstance(value, str) and value.strip() else f"is not usable; give {self.what}"


@dataclass(frozen=True)
class Layers:
    """A count of layers (>= 1), or a list of layers: [0, 2] or "0,2"."""

    def error(self, value: object) -> str | None:
        """The problem with `value` and its remedy, or None."""
        wanted = "give a count from 1, or a list of different layers such as [0, 2, 4]"
        if isinstance(value, str | list | tuple):
            layers = as_layers(value)
            return None if layers and len(set(layers)) == len(layers) else f"is not usable; {wanted}"
        if isinstance(value, bool) or not isinstance(value, int):
            return f"is not usable; {wanted}"
        return None if value >= 1 else f"is out of range; {wanted}"


def as_layers(value: str | list[Any] | tuple[Any, ...]) -> tuple[int, ...] | None:
    """The layers listed, also in a comma string as the 2017 search wrote them; None if they are not numbers."""
    listed = value.split(",") if isinstance(value, str) else value
    layers: list[int] = []
    for i in listed:
        i = int(i) if isinstance(i, str) and i.strip().isdecimal() else i
        if not isinstance(i, int) or isinstance(i, bool) or i < 0:
            return None
        layers.append(i)
    return tuple(layers)


def _either(names: tuple[str, ...]) -> str:
    """a, b or c."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
