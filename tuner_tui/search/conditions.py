"""`when`: which hyperparameters apply to which trials, checked before any trial runs.

A condition that can never hold is a typing mistake that would silently leave a hyperparameter out of every
trial, so it is an error. The one exception: a value that `--set` took away. Fixing `merger.kind` on the
command line simply takes the hyperparameters of the other kinds out of the space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .distributions import is_number
from .problems import Findings, Keys, nearest, show
from .space import Choice, Distribution, Float, Hyperparameter, Int, frozen

When = tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class Entry:
    """A hyperparameter as it was read, its condition still raw."""

    hyperparameter: Hyperparameter
    when: Any  # what the file says: a table, if it is right
    keys: Keys


def resolve(
    entries: list[Entry], fixed: Mapping[str, Any], broken: frozenset[str], findings: Findings
) -> list[Hyperparameter]:
    """The hyperparameters with their conditions, in the order given, without those `--set` ruled out.

    `broken` names hyperparameters that were found wrong before; conditions on them are left alone.
    """
    by_name = {entry.hyperparameter.name: entry for entry in entries}
    known = {**fixed, **by_name}
    raw = {name: _table(entry, known, broken, findings) for name, entry in by_name.items()}
    kept: dict[str, Hyperparameter] = {}
    reported: set[str] = set()  # its conditions are wrong and that has been said
    needs: dict[str, dict[str, tuple[Any, ...]]] = {}  # all conditions of a name, those of its conditions too
    for name in _in_order(raw, by_name, reported, findings):
        entry, others = by_name[name], raw[name]
        before = len(findings.problems)
        when = _conditions(entry, others, by_name, kept, fixed, findings)
        all_needs = None if when is None else _together(when, needs)
        if when is not None and all_needs is not None:
            needs[name] = all_needs
            kept[name] = replace(entry.hyperparameter, when=when)
        elif len(findings.problems) > before or reported.intersection(others):
            reported.add(name)
        elif findings.typed(entry.keys) or not any(_overridden(o, by_name, findings) for o in others):
            findings.add((*entry.keys, "when"), "its conditions can never hold together; relax one of them")
            reported.add(name)
    return [kept[name] for name in by_name if name in kept]


def _in_order(
    raw: Mapping[str, Mapping[str, Any]], by_name: Mapping[str, Entry], reported: set[str], findings: Findings
) -> list[str]:
    """Names, each behind those its condition speaks of. Those in a circle are reported and left out."""
    graph = {name: [other for other in table if other in by_name] for name, table in raw.items()}
    while True:
        try:
            return [name for name in TopologicalSorter(graph).static_order() if name not in reported]
        except CycleError as error:
            circle = error.args[1][::-1]
            first = min(range(len(circle) - 1), key=lambda i: list(by_name).index(circle[i]))
            circle = [
                *circle[first:-1],
                *circle[: first + 1],
            ]  # told from the one that stands first in the file
            message = f"conditions go in a circle: {' needs '.join(circle)}; remove one of them"
            findings.add((*by_name[circle[0]].keys, "when"), message)
            reported.update(circle)
            graph = {name: [] if name in reported else others for name, others in graph.items()}


def _table(
    entry: Entry, known: Mapping[str, Any], broken: frozenset[str], findings: Findings
) -> dict[str, list[Any]]:
    """The raw condition as other name -> values, without what is wrong in it."""
    keys = (*entry.keys, "when")
    if entry.when is None:
        return {}
    if not isinstance(entry.when, dict) or not entry.when:
        findings.add(keys, f'{show(entry.when)} is not a condition; write when = {{ "other" = value }}')
        return {}
    table: dict[str, list[Any]] = {}
    for other, value in entry.when.items():
        if other == entry.hyperparameter.name:
            findings.add(keys, f"{other} can't depend on itself; name another hyperparameter")
        elif other in known:
            table[other] = _as_values(value, known[other])
        elif other in broken:
            continue
        elif isinstance(value, dict):
            name = f"{other}.{next(iter(value), '...')}"
            findings.add(
                keys, f'unknown hyperparameter {show(other)}; for a name with a dot quote it: "{name}"'
            )
        else:
            hint = nearest(other, known) or f"; the names are {', '.join(known)}"
            findings.add(keys, f"unknown hyperparameter {show(other)}{hint}")
    return table


def _as_values(value: Any, other: Any) -> list[Any]:
    """`value` or `[values]`: a list is one value only where the other has that very list as an option."""
    if not isinstance(value, list):
        return [value]
    if isinstance(other, Entry):
        distribution = other.hyperparameter.distribution
        is_option = (
            isinstance(distribution, Choice) and _flat(value) and frozen(value) in distribution.options
        )
        return [value] if is_option else value
    return [value] if value == other else value


def _flat(value: list[Any]) -> bool:
    return not any(isinstance(item, list | dict) for item in value)


def _conditions(
    entry: Entry,
    raw: Mapping[str, list[Any]],
    by_name: Mapping[str, Entry],
    kept: Mapping[str, Hyperparameter],
    fixed: Mapping[str, Any],
    findings: Findings,
) -> When | None:
    """The condition with values that can occur; None when one of them never holds."""
    keys = (*entry.keys, "when")
    forgiven = findings.typed(entry.keys) is None  # what --set itself wrote must be right
    when: list[tuple[str, tuple[Any, ...]]] = []
    for other, values in raw.items():
        if other in by_name and other not in kept:
            return None  # it never applies itself, or something is wrong with it
        by_override = forgiven and _overridden(other, by_name, findings)
        if not values:
            findings.add(keys, f"{other} = [] lets it apply never; give at least one value")
            return None
        allowed: list[Any] = []
        for value in values:
            if other in by_name:
                found, why = _occurs(value, by_name[other].hyperparameter.distribution)
            else:
                found = fixed[other] if same(value, fixed[other]) else None
                why = f"it is fixed at {show(fixed[other])}"
            if found is not None:
                allowed.append(frozen(found))
            elif not by_override:
                findings.add(keys, f"{other} can't be {show(value)}: {why}; change or remove the condition")
        if not allowed:
            return None
        when.append((other, tuple(dict.fromkeys(allowed))))
    return tuple(when)


def _overridden(other: str, by_name: Mapping[str, Entry], findings: Findings) -> bool:
    """Whether --set changed what the name can be, itself or through what it depends on."""
    keys = by_name[other].keys if other in by_name else ("fixed", other)
    if findings.typed(keys) is not None:
        return True
    further = by_name[other].when if other in by_name else None
    return isinstance(further, dict) and any(
        _overridden(name, by_name, findings) for name in further if name != other
    )


def _together(
    when: When, needs: Mapping[str, Mapping[str, tuple[Any, ...]]]
) -> dict[str, tuple[Any, ...]] | None:
    """All that must hold, conditions of conditions included; None when it contradicts itself."""
    total: dict[str, tuple[Any, ...]] = {}
    for source in (dict(when), *(needs.get(other, {}) for other, _ in when)):
        for other, allowed in source.items():
            total[other] = tuple(value for value in total.get(other, allowed) if value in allowed)
            if not total[other]:
                return None
    return total


def _occurs(value: Any, distribution: Distribution) -> tuple[Any, str]:
    """The value as the distribution draws it; or None, and why it never does."""
    match distribution:
        case Choice(options):
            found = next((option for option in options if same(value, option)), None)
            return found, f"its choices are {show(list(options))}"
        case Int(low, high, _, step):
            why = f"it is drawn from {low} to {high}" + (f" in steps of {step}" if step != 1 else "")
            if not is_number(value) or not low <= value <= high or (value - low) % step:
                return None, why
            return int(value), why
        case Float(low, high, _, None):
            return None, "it is drawn from a range without steps, which hits no single value; give it a step"
        case Float(low, high, _, step):
            k = distribution.step_of(value) if is_number(value) else None
            why = f"it is drawn from {low} to {high} in steps of {step}"
            return (None if k is None else distribution.at_step(k)), why


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal. A boolean equals only a boolean, so `flag = 1` does not match true."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and one == other
