"""Requests to a running engine: lines in `requests.jsonl`.

A viewer never signals or kills an engine. It appends a request, and the journal shows when the engine carried it
out. A file, unlike a socket, works on any file system, from a second login, and from a script with `echo`.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("stop", "stop_now", "pause", "continue", "add_trials", "kill_trial", "parallel", "rerun", "change")


@dataclass(frozen=True)
class Request:
    """`stop`: start nothing new, let trials end; `stop_now`: also stop the running ones. `change`: the space."""

    kind: str
    number: int | None = None  # trials to add, the trial to kill or to run again, or how many at once
    settings: tuple[str, ...] = ()  # of `change`: key=value, as `--set` takes them


def ask(path: Path, request: Request) -> None:
    """Append one request. Raises ValueError for a kind no engine knows."""
    if request.kind not in KINDS:
        raise ValueError(f"unknown request {request.kind!r}; choose one of {', '.join(KINDS)}")
    record: dict[str, Any] = {"request": request.kind, "number": request.number, "at": time.time()}
    if request.settings:
        record["set"] = list(request.settings)
    line = json.dumps(record) + "\n"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
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
        """The requests that are new since the last call."""
        try:
            size = self.path.stat().st_size
            if size < self.offset:  # the file was removed or emptied, and begins anew
                self.offset = 0
            if size == self.offset:
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
                settings = record.get("set", [])
                if (
                    kind in KINDS
                    and (number is None or type(number) is int)
                    and isinstance(settings, list)
                    and all(isinstance(text, str) for text in settings)
                ):
                    found.append(Request(kind, number, tuple(settings)))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # not a request
        return found
