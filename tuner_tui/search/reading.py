"""The table [read] of a search file: where the measurements of a command come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .problems import Findings, show
from .values import File, Key, Name, Patterns

READS = (
    Key(
        "pattern", Patterns(),
        "A regular expression for lines of the output; its named groups are measurements. Or a list of them.",
    ),
    Key("file", File(), "A .csv or .jsonl file or TensorBoard events that the script writes; {out} is its folder."),
    Key("step", Name("what the script calls the step"), "What the script calls the step."),
)  # fmt: skip
READ_KEYS = tuple(key.name for key in READS)


@dataclass(frozen=True)
class Read:
    """Nothing given: lines of the output that are a JSON object."""

    patterns: tuple[
        str, ...
    ] = ()  # regular expressions for lines of the output; named groups are measurements
    file: str = ""  # .csv, .jsonl or TensorBoard events, beside the command; {out} and wildcards are known
    step: str = "step"  # what the script calls the step


JSON_LINES = Read()


def read_read(table: dict[str, Any], objective: str, findings: Findings) -> Read:
    """The table as a value, with everything wrong in it added to `findings`."""
    given: dict[str, Any] = {"pattern": [], "file": "", "step": "step"}
    for key in READS:
        if wrong := key.takes.wrong(key.name, table.get(key.name, given[key.name]), given[key.name]):
            findings.add(("read", key.name), wrong)
        else:
            given[key.name] = table.get(key.name, given[key.name])
    file, step = given["file"], given["step"]
    patterns = [given["pattern"]] if isinstance(given["pattern"], str) else given["pattern"]
    keys = ("read", "pattern")
    good: list[str] = []
    groups: set[str] = set()
    for pattern in patterns:
        try:
            names = re.compile(pattern).groupindex
        except (re.error, RecursionError, OverflowError) as error:
            findings.add(keys, f"{show(pattern)} is no regular expression: {error}; correct it there")
            continue
        if not names:
            findings.add(keys, f"{show(pattern)} names no group; name what it reads: (?P<{objective}>\\S+)")
        groups |= names.keys()
        good.append(pattern)
    if groups and not file and objective not in groups and len(good) == len(patterns):
        there = ", ".join(sorted(groups - {step}))
        findings.add(
            keys, f"none of its groups is the objective {objective!r}; name one (?P<{objective}>...), "
            f"or set objective to one of: {there}",
        )  # fmt: skip
    return Read(tuple(good), file, step)
