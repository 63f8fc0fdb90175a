"""A key of a search file, and the kinds of values that keys take.

Each kind says two things in one place: what is wrong with a value, as a sentence with the remedy (the reader asks
this, file.py), and which values it takes in JSON Schema (editors ask this, schema.py). A schema can't say
everything: it takes all that the reader takes, and some values that the reader refuses.
"""

from __future__ import annotations

import keyword
import shlex
from dataclasses import dataclass
from typing import Any, Protocol

from .problems import nearest, show

LARGEST = 2**63 - 1  # what every reader of JSON and every database column takes
LONGEST_S = 1e15  # beyond any clock; the bound also refuses inf


class Kind(Protocol):
    """What a key takes."""

    def wrong(self, key: str, value: Any, default: Any) -> str:
        """What is wrong with the value of a key, and what to do; "" when it is right. `default`: an example."""
        ...

    def schema(self) -> dict[str, Any]:
        """The values it takes, in JSON Schema (draft 7)."""
        ...


@dataclass(frozen=True)
class Key:
    """A key of a search file."""

    name: str
    takes: Kind
    about: str  # a sentence or two, as editors show it


@dataclass(frozen=True)
class Text:
    """Text on one line; `empty`: "" is taken for the default."""

    empty: bool = False

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, str) and ((value.strip() and value.isprintable()) or (self.empty and not value)):
            return ""
        return f"{show(value)} is not a name; write text in quotes, on one line"

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} if self.empty else {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class OneOf:
    """One of several texts."""

    options: tuple[str, ...]

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, str) and value in self.options:
            return ""
        hint = nearest(value, self.options) if isinstance(value, str) else ""
        return f"unknown {key} {show(value)}; choose {' or '.join(self.options)}{hint}"

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.options)}


@dataclass(frozen=True)
class Whole:
    """A whole number of at least `least`."""

    least: int

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{show(value)} is not a whole number; write {key} = {default}, say"
        if self.least <= value <= LARGEST:
            return ""
        bound = f"at least {self.least}" if value < self.least else "below 2**63"
        return f"{show(value)} is out of range; it must be {bound}"

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": LARGEST}


@dataclass(frozen=True)
class Boolean:
    """true or false."""

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, bool):
            return ""
        return f"{show(value)} is not true or false; write {key} = true, or leave it out"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Amount:
    """A number above 0, in `unit`."""

    unit: str

    def wrong(self, key: str, value: Any, default: Any) -> str:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and 0 < value < LONGEST_S:  # also refuses nan
            return ""
        wrong = "is out of range" if number else "is not a number"
        return f"{show(value)} {wrong}; write {self.unit} above 0, or leave it out"

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": LONGEST_S}


@dataclass(frozen=True)
class Count:
    """A whole number above 0."""

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST:
            return ""
        return f"{show(value)} is no count; write a whole number above 0"

    def schema(self) -> dict[str, Any]:
        return Whole(1).schema()


@dataclass(frozen=True)
class Function:
    """A function by its module: "module:function", or, of Optuna, "optuna:module:function"."""

    empty: bool = False

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if self.empty and value == "":
            return ""
        remedy = 'write "module:function"'
        if isinstance(value, str):
            bare = value.removeprefix("optuna:") if value.count(":") == 2 else value
            module, colon, function = bare.partition(":")
            parts = [*module.split("."), function]
            is_name = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
            if colon and is_name and not module.endswith(".py"):
                return ""
            if " " in value or (module.endswith(".py") and not colon):
                words = value.split() if " " in value else ["python", value, "{rest}"]
                guess = module.removesuffix(".py").strip("./").replace("/", ".")
                named = "" if " " in value else f'; for a function in it name the module: "{guess}:train"'
                remedy = f"for a script write command = {show(words)}{named}"
            elif "/" in module or module.endswith(".py"):
                guess = module.removesuffix(".py").strip("./").replace("/", ".")
                remedy = f'name the module, not its file: "{guess}:{function or "train"}"'
            elif not colon and value.isidentifier():
                remedy = f'write "{value}:function", the function in that module'
        return f"{show(value)} names no function; {remedy}"

    def schema(self) -> dict[str, Any]:
        name = r"^(optuna:)?[^\s:/\\]+:[^\s:/\\.]+$"
        return {"type": "string", "pattern": f"^$|{name}" if self.empty else name}


@dataclass(frozen=True)
class Command:
    """The arguments of a program, the first its name. Their places are checked with the space (command.py)."""

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, str) and value.strip():
            try:
                words = shlex.split(value)
            except ValueError:
                words = value.split()
            return f"is one text; write a list, no shell reads it: {show(words)}"
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            return f'{show(value)} is no command; write ["python", "train.py", "{{rest}}"]'
        if not value[0] or any("\0" in word for word in value):
            return f"{show(value)} names no program, or holds a NUL; correct it"
        return ""

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "minItems": 1, "items": {"type": "string"}}


@dataclass(frozen=True)
class Patterns:
    """A regular expression, or a list of them. Their groups are checked with the objective (reading.py)."""

    def wrong(self, key: str, value: Any, default: Any) -> str:
        if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            return ""
        return f"{show(value)} is no pattern; write 'loss (?P<loss>\\S+)', or a list of such"

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "array"], "items": {"type": "string"}}


@dataclass(frozen=True)
class File:
    """A path; "" for none."""

    def wrong(self, key: str, value: Any, default: Any) -> str:
        return (
            ""
            if isinstance(value, str) and "\0" not in value
            else f"{show(value)} is no path; write one in quotes"
        )

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True)
class Name:
    """Any text but the empty one."""

    what: str

    def wrong(self, key: str, value: Any, default: Any) -> str:
        return "" if isinstance(value, str) and value else f"{show(value)} is no name; write {self.what}"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}
