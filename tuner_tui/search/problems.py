"""The problems of a search file, all reported at once, each with file, key, value and remedy.

Reporting only the first mistake would cost one edit-and-run round per mistake. So every check adds to one
list, and `SearchError` carries the whole list.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

OVERRIDE = "--set"  # the place named for a mistake made on the command line
Keys = tuple[str, ...]  # where a value stands in the file: ("space", "optimizer", "lr")


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a search file: where, which key, and what to do."""

    file: str  # as the user wrote it, or "--set"
    key: str  # dotted, or "line 3, column 5", or "" when it is about the file
    message: str  # what is wrong, with the value, and what to do about it

    def __str__(self) -> str:
        """One line, safe for a terminal whatever stands in the file."""
        return _safe(": ".join(part for part in (self.file, self.key, self.message) if part))


class SearchError(Exception):
    """A search that can't be run. `problems` holds everything found wrong; str() gives one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass
class Findings:
    """Collects problems, and knows which values came from the command line and not from the file."""

    source: str
    problems: list[Problem] = field(default_factory=list)
    overridden: dict[Keys, str] = field(default_factory=dict)  # where -> the key as it was typed

    def add(self, keys: Keys, message: str) -> None:
        """Add a problem with the key at `keys`."""
        typed = self.typed(keys)
        problem = Problem(self.source, dotted(keys), message)
        self.problems.append(Problem(OVERRIDE, typed, message) if typed else problem)

    def typed(self, keys: Keys) -> str | None:
        """The `--set` key that put the value at `keys` there, if one did."""
        prefixes = (keys[:end] for end in range(len(keys), 0, -1))
        return next((self.overridden[prefix] for prefix in prefixes if prefix in self.overridden), None)


def dotted(keys: Keys) -> str:
    """The path of a key as TOML spells it: space.model."convnet.depth"."""
    return ".".join(key if _is_bare(key) else json.dumps(key, ensure_ascii=False) for key in keys)


def show(value: Any) -> str:
    """A value as TOML would spell it, and short."""
    try:
        text = _spell(value)
    except RecursionError:
        text = "a value too deep to show"
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the known names most like `word`, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _spell(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            pairs = ", ".join(f"{dotted((key,))} = {_spell(inner)}" for key, inner in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_spell, value))}]"
        case int() if abs(value) >= 2**200:  # Python refuses to spell out the longest ones
            return "a number of more than 60 digits"
        case _:
            return str(value)


def _is_bare(key: str) -> bool:
    return bool(key) and key.isascii() and key.replace("_", "a").replace("-", "a").isalnum()


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
