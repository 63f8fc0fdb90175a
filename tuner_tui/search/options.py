"""Tables of a search file that name one of several things and set its options: [sampler] and [pruner].

A plain text means the thing with its defaults: `sampler = "tpe"`. An option that the named thing does not have is an
error, because ignoring it would run another search than the file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .distributions import is_number
from .problems import Findings, nearest, show


@dataclass(frozen=True)
class Option:
    """One option: its default and what values it takes. The type of `default` is that of the values."""

    default: Any
    choices: tuple[str, ...] = ()  # for a text
    least: float = 0.0  # for a number: the smallest value
    above: bool = False  # ... which itself is too small
    most: float = 1e15
    auto: bool = False  # "auto" is a value too, and the default

    def problem(self, value: Any) -> str:
        """What is wrong with a value and what to write, or ""."""
        if self.auto and value == "auto":
            return ""
        if self.choices:
            if isinstance(value, str) and value in self.choices:
                return ""
            hint = nearest(value, self.choices) if isinstance(value, str) else ""
            return f"{show(value)} is no choice; choose {' or '.join(self.choices)}{hint}"
        if isinstance(self.default, bool):
            return "" if isinstance(value, bool) else f"{show(value)} must be true or false"
        whole = self.auto or isinstance(self.default, int)
        fits = is_number(value) and (isinstance(value, int) or not whole)
        if fits and (value > self.least if self.above else value >= self.least) and value <= self.most:
            return ""
        kind = "whole number" if whole else "number"
        bounds = f"above {self.least:g}" if self.above else f"of at least {self.least:g}"
        most = f" and at most {self.most:g}" if self.most < 1e15 else ""
        return f"{show(value)} does not do; write a {kind} {bounds}{most}{', or auto' if self.auto else ''}"

    def schema(self) -> dict[str, Any]:
        """Its values in JSON Schema (draft 7)."""
        if self.choices:
            return {"enum": list(self.choices), "default": self.default}
        if isinstance(self.default, bool):
            return {"type": "boolean", "default": self.default}
        whole = self.auto or isinstance(self.default, int)
        low = {"exclusiveMinimum" if self.above else "minimum": self.least}
        number = {"type": "integer" if whole else "number", **low, "maximum": self.most}
        return {
            **({"anyOf": [{"const": "auto"}, number]} if self.auto else number),
            "default": self.default,
        }


Options = Mapping[str, Option]


@dataclass(frozen=True)
class Named:
    """One of several things by its name, or a table with its name and options. `read_named` reads it."""

    known: Mapping[str, Options]  # the first is the default

    def wrong(self, key: str, value: Any, default: Any) -> str:
        """See `values.Kind`."""
        findings = Findings("")
        read_named({key: value}, key, self.known, findings)
        return findings.problems[0].message if findings.problems else ""

    def schema(self) -> dict[str, Any]:
        """See `values.Kind`."""
        first = next(iter(self.known))
        tables = [
            {
                "type": "object",
                "properties": {"name": {"const": name}, **{key: o.schema() for key, o in options.items()}},
                "required": [] if name == first else ["name"],
                "additionalProperties": False,
            }
            for name, options in self.known.items()
        ]
        return {"anyOf": [{"enum": list(self.known)}, *tables]}


def with_options(name: str, given: Mapping[str, Any]) -> str:
    """For a person: `tpe (startup_trials = 20)`."""
    told = ", ".join(f"{key} = {show(value)}" for key, value in given.items())
    return f"{name} ({told})" if told else name


def read_named(
    raw: Mapping[str, Any], key: str, known: Mapping[str, Options], findings: Findings
) -> tuple[str, dict[str, Any]]:
    """(name, options given) of `key`, a text or a table with a `name`. The first of `known` is the default."""
    first = next(iter(known))
    value = raw.get(key, first)
    table = value if isinstance(value, dict) else {"name": value}
    name, keys = table.get("name", first), (key, "name") if isinstance(value, dict) else (key,)
    if not isinstance(name, str) or name not in known:
        hint = nearest(name, tuple(known)) if isinstance(name, str) else ""
        findings.add(keys, f"unknown {key} {show(name)}; choose {' or '.join(known)}{hint}")
        return first, {}
    given: dict[str, Any] = {}
    for option, found in table.items():
        if option == "name":
            continue
        if option not in known[name]:
            takes = ", ".join(known[name])
            remedy = nearest(option, tuple(known[name])) or (
                f"; it takes {takes}" if takes else "; it takes none"
            )
            findings.add((key, option), f"the {key} {name} has no such option{remedy}")
        elif problem := known[name][option].problem(found):
            findings.add((key, option), problem)
        else:
            given[option] = found
    return name, given
