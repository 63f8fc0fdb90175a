"""The table [read] of a search file: where the measurements of a command come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .problems import Findings, show

READ_KEYS = ("pattern", "file", "step")


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
    patterns = table.get("pattern", [])
    patterns = [patterns] if isinstance(patterns, str) else patterns
    keys = ("read", "pattern")
    good: list[str] = []
    groups: set[str] = set()
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        findings.add(keys, f"{show(patterns)} is no pattern; write 'loss (?P<loss>\\S+)', or a list of such")
        patterns = []
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
    file, step = table.get("file", ""), table.get("step", "step")
    if not isinstance(file, str) or "\0" in file:
        findings.add(("read", "file"), f"{show(file)} is no path; write one in quotes")
        file = ""
    if not isinstance(step, str) or not step:
        findings.add(("read", "step"), f"{show(step)} is no name; write what the script calls the step")
        step = "step"
    if groups and not file and objective not in groups and len(good) == len(patterns):
        there = ", ".join(sorted(groups - {step}))
        findings.add(
            keys, f"none of its groups is the objective {objective!r}; name one (?P<{objective}>...), "
            f"or set objective to one of: {there}",
        )  # fmt: skip
    return Read(tuple(good), file, step)
