"""Requests from viewers to a running engine: lines in `requests.jsonl`.

A viewer never signals or kills an engine: it appends a request, and the journal shows when it took effect. A file
(rather than a socket) works over any file system, from a second login, and from a script with `echo`.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

KINDS = ("stop", "stop_now", "pause", "continue", "add_trials", "kill_trial")


@dataclass(frozen=True)
class Request:
    """`stop`: start nothing new, let trials end; `stop_now`: also stop the running ones."""

    kind: str
    number: int | None = None  # trials to add, or the trial to kill


def ask(path: Path, request: Request) -> None:
    """Append one request. Raises ValueError for a kind no engine knows."""
    if request.kind not in KINDS:
        raise ValueError(f"unknown request {request.kind!r}; choose one of {', '.join(KINDS)}")
    line = json.dumps({"request": request.kind, "number": request.number, "at": time.time()}) + "\n"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = "\n" + line  # behind half a line (a full disk, echo -n) ours would be lost with it
        os.write(fd, line.encode())  # one short write: lines of two viewers never mix
    finally:
        os.close(fd)


class RequestReader:
    """Requests from now on: what was asked of an engine that died is not owed by the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[Request]:
        """The requests added since the last call."""
        try:
            if self.path.stat().st_size <= self.offset:
                return []
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        found: list[Request] = []
        for line in whole.splitlines():
            try:
                record = json.loads(line)
                kind, number = record["request"], record.get("number")
                if kind in KINDS and (number is None or type(number) is int):
                    found.append(Request(kind, number))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # not a request; ignore it
        return found
