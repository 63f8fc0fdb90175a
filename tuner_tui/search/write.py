"""A search as the text of a search file, for a person to read, edit and keep. `parse_search` reads it back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from .keys import DEFAULTS, KEYS, SCALAR_KEYS
from .options import Named
from .problems import dotted
from .reading import Read
from .search import Limits, Search
from .space import Choice, Distribution, Float, Hyperparameter, Int, Space


def to_toml(
    search: Search, *, comments: Mapping[str, Sequence[str]] = MappingProxyType({}), top: Sequence[str] = ()
) -> str:
    """The search file of a search, with the keys that differ from their defaults. It ends with a line end.

    `comments`: lines above a hyperparameter or a fixed value, by its name; `top`: lines above all.
    """
    lines = [*_comment(top), f"name = {spell(search.name)}"]
    lines += (
        [f"command = {spell(search.command)}"] if search.command else [f"target = {spell(search.target)}"]
    )
    lines += [f"objective = {spell(search.objective)}"] if search.objective else []
    for key in _OPTIONAL:
        value = getattr(search, key)
        if value != getattr(DEFAULTS, key) or key in ("trials", "parallel"):
            lines.append(f"{key} = {spell(value)}")
    lines += [
        f"{key} = {spell(name)}"
        for key, name, options in _named(search)
        if name != getattr(DEFAULTS, key) and not options
    ]
    for key, name, options in _named(search):
        if options:
            lines += [
                "",
                f"[{key}]",
                f"name = {spell(name)}",
                *(f"{k} = {spell(v)}" for k, v in options.items()),
            ]
    if search.fixed:
        lines += ["", "[fixed]"]
        for name, value in search.fixed.items():
            lines += [*_comment(comments.get(name, ())), f"{dotted((name,))} = {spell(value)}"]
    if search.secret:
        lines += ["", "[secret]", *(f"{dotted((name,))} = {spell(v)}" for name, v in search.secret.items())]
    if search.read != DEFAULTS.read:
        lines += ["", "[read]", *_read_lines(search.read)]
    limits = {key: v for key, v in asdict(search.limits).items() if v != getattr(Limits(), key)}
    if limits:
        lines += ["", "[limits]", *(f"{key} = {spell(value)}" for key, value in limits.items())]
    lines += _space_lines(search.space, comments)
    return "\n".join(lines) + "\n"


def _named(search: Search) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What a plain text says where it has no options, and a table where it has some."""
    return [(key, getattr(search, key), getattr(search, f"{key}_options")) for key in _NAMED]


def _read_lines(read: Read) -> list[str]:
    pattern = read.patterns[0] if len(read.patterns) == 1 else read.patterns
    return [
        f"{key} = {spell(value)}"
        for key, value, usual in (
            ("pattern", pattern, ()),
            ("file", read.file, ""),
            ("step", read.step, "step"),
        )
        if value != usual
    ]


def _comment(lines: Sequence[str]) -> list[str]:
    return [f"# {line}" for line in lines]


def _space_lines(space: Space, comments: Mapping[str, Sequence[str]]) -> list[str]:
    """Each group is a table, in the order of their first members; those without a group are one as well."""
    lines: list[str] = []
    for group in space.groups:
        members = [h for h in space if h.group == group]
        lines += ["", f"[{dotted(('space', group) if group else ('space',))}]"]
        for h in members:
            lines += [*_comment(comments.get(h.name, ())), f"{dotted((h.name,))} = {spell_hyperparameter(h)}"]
    return lines


def spell_hyperparameter(hyperparameter: Hyperparameter) -> str:
    """Its value in [space]: `{ log = [1e-5, 0.1] }`, or a list of choices."""
    more: dict[str, Any] = {"role": hyperparameter.role} if hyperparameter.role else {}
    if hyperparameter.when:
        more["when"] = {other: _allowed(values) for other, values in hyperparameter.when}
    if not more:
        return spell_distribution(hyperparameter.distribution)
    return spell(_table(hyperparameter.distribution) | more)


def spell_distribution(distribution: Distribution) -> str:
    """A distribution as it stands in [space], in its shortest form."""
    if isinstance(distribution, Choice):
        return spell(distribution.options)
    return spell(_table(distribution))


def _table(distribution: Distribution) -> dict[str, Any]:
    match distribution:
        case Choice(options):
            return {"choices": options}
        case Int(low, high, log, step):
            return (
                {"int": [low, high]} | ({"log": True} if log else {}) | ({"step": step} if step != 1 else {})
            )
        case Float(low, high, True, _):
            return {"log": [low, high]}
        case Float(low, high, _, step):
            return {"float": [low, high]} | ({} if step is None else {"step": step})


def _allowed(values: tuple[Any, ...]) -> Any:
    one = len(values) == 1 and not isinstance(values[0], tuple)
    return values[0] if one else list(values)


def spell(value: Any) -> str:
    """A value in TOML, however long."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float() if math.isfinite(value):
            text = repr(value)
            mantissa, e, exponent = text.partition("e")
            return f"{mantissa}e{int(exponent)}" if e else text
        case Mapping():
            pairs = ", ".join(f"{dotted((str(key),))} = {spell(inner)}" for key, inner in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(map(spell, value))}]"
        case _:
            return str(value)


_NAMED = [key.name for key in KEYS if isinstance(key.takes, Named)]
_OPTIONAL = [key for key in SCALAR_KEYS if key not in ("name", "target", "command", "objective", *_NAMED)]
