"""What counts as a measurement in what a script prints or writes: patterns, JSON lines, CSV, TensorBoard events.

A reading is a mapping of names to numbers; "step" among them when it is known. Nothing here raises for a line that
holds no measurement: most lines of most scripts do not.
"""

from __future__ import annotations

import ast
import csv
import glob
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Reading = dict[str, float]

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|\x08")
_CLINGS = " \t,;:%)]}"  # what may stand right after a number that a pattern caught with \S+


class Reader(Protocol):
    """Reads measurements out of lines, one after the other."""

    def read(self, line: str) -> Iterator[Reading]:
        """The measurements in a line of output, without its line end."""
        ...


class Patterns:
    """Regular expressions whose named groups are measurements. A pattern without the group `step` takes the step
    that another pattern has read last, so `epoch 3 ...` may stand a line above `val loss 0.5`."""

    def __init__(self, patterns: Sequence[str], step: str = "step") -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._step = step
        self._last: float | None = None

    def read(self, line: str) -> Iterator[Reading]:
        line = _ESCAPES.sub("", line)
        for pattern in self._patterns:
            for match in pattern.finditer(line):
                reading = numbers(match.groupdict(), self._step)
                self._last = reading.get("step", self._last)
                if self._last is not None:
                    reading.setdefault("step", self._last)
                if len(reading) > ("step" in reading):
                    yield reading


class JsonLines:
    """Lines that are a JSON object, or a Python dictionary as the Hugging Face trainer prints it."""

    def __init__(self, step: str = "step") -> None:
        self._step = step

    def read(self, line: str) -> Iterator[Reading]:
        line = _ESCAPES.sub("", line).strip()
        if not (line.startswith("{") and line.endswith("}")):
            return
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            try:
                found = ast.literal_eval(line)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                return
        if isinstance(found, dict):
            reading = numbers(found, self._step)
            if len(reading) > ("step" in reading):
                yield reading


def numbers(found: Mapping[Any, Any], step: str = "step") -> Reading:
    """What of a mapping is a number, or a text that is one. `step`: the name whose value is the step.

    A step that is no whole number (Hugging Face counts epochs like 0.5) is left out: measurements are counted then.
    """
    reading: Reading = {}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            continue
        try:
            number = float(value.strip().rstrip(_CLINGS) if isinstance(value, str) else value)
        except (ValueError, OverflowError):
            continue
        if name == step:
            if number == number and abs(number) < 2**53 and number == int(number):
                reading["step"] = number
        elif name != "step":
            reading[str(name)] = number
    return reading


class Files:
    """Measurements in files that a script writes as it goes: .csv, .jsonl or .json, and TensorBoard's events.

    `pattern` may have the wildcards * ? and **; files are followed from their beginning, also ones that come later.
    `from_now`: what stands in them already is another run's, and is passed over.
    """

    def __init__(self, pattern: str, step: str = "step", *, from_now: bool = False) -> None:
        self._pattern = pattern
        self._step = step
        self._followed: dict[str, _Followed] = {}
        self._older = {name: _Older(Path(name)) for name in self._found()} if from_now else {}

    def _found(self) -> list[str]:
        names = glob.glob(self._pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
        return sorted(name for name in names if Path(name).is_file())

    def read(self) -> Iterator[Reading]:
        """What was added to the files since the last call."""
        for name in self._found():
            if name not in self._followed:
                older = self._older.get(name)
                if older is not None and not older.changed():
                    continue
                parser = _parser(Path(name), self._step)
                begin = older.appended() if older is not None else 0
                if begin:
                    with Path(name).open("rb") as file:  # the header of a table
                        for _ in parser.feed(file.readline()):
                            pass
                self._followed[name] = _Followed(Path(name), parser, begin)
            yield from self._followed[name].read()


class _Older:
    """A file that was there before: whether it is written to now, and where that begins."""

    _TAIL = (
        64  # bytes before its end; where they are as they were, the file was added to and not written anew
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._was = self._look()
        self._tail = self._before_the_end()

    def changed(self) -> bool:
        return self._look() != self._was

    def appended(self) -> int:
        """How many bytes were there before; 0 where it was written anew."""
        size = self._was[0]
        return size if self._look()[0] > size and self._before_the_end() == self._tail else 0

    def _look(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return 0, 0
        return stat.st_size, stat.st_mtime_ns

    def _before_the_end(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._was[0] - self._TAIL))
                return file.read(min(self._TAIL, self._was[0]))
        except OSError:
            return b""


class _Parser(Protocol):
    def feed(self, data: bytes) -> Iterator[Reading]: ...


class _Followed:
    """One file, read as far as it goes."""

    def __init__(self, path: Path, parser: _Parser, begin: int = 0) -> None:
        self._path = path
        self._parser = parser
        self._offset = begin

    def read(self) -> Iterator[Reading]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        self._offset += len(data)
        yield from self._parser.feed(data)


def _parser(path: Path, step: str) -> _Parser:
    if "tfevents" in path.name:
        return _Events()
    if path.suffix.lower() == ".csv":
        return _Csv(step)
    return _Lines(JsonLines(step))


class _Lines:
    """Whole lines of a growing text; the last, unfinished one waits for its end."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._unread = b""

    def feed(self, data: bytes) -> Iterator[Reading]:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            yield from self._reader.read(line.decode("utf-8", "replace"))


class _Csv(_Lines):
    """A table with a header. Empty cells are left out (Lightning's logger writes one kind of row for training and
    one for validation). A row that repeats the header, or begins a new one, is a header."""

    def __init__(self, step: str) -> None:
        super().__init__(self)
        self._step = step
        self._header: list[str] = []

    def read(self, line: str) -> Iterator[Reading]:
        cells = next(csv.reader([line.rstrip("\r")]), [])
        if not cells:
            return
        if not any(_is_number(cell) for cell in cells):
            self._header = [cell.strip() for cell in cells]
            return
        reading = numbers(dict(zip(self._header, cells)), self._step)
        if len(reading) > ("step" in reading):
            yield reading


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


class _Events:
    """TensorBoard's event file: records of (length, crc, protobuf, crc); scalars are read, the rest is skipped.

    Source: tensorflow's record_writer.h and event.proto, summary.proto, tensor.proto.
    """

    _HEAD = 12  # a length of 8 bytes and its checksum of 4
    _LONGEST = 1 << 28  # a record longer than this is no record of ours: reading it would eat the memory

    def __init__(self) -> None:
        self._unread = b""
        self._lost = False

    def feed(self, data: bytes) -> Iterator[Reading]:
        if self._lost:
            return
        self._unread += data
        while len(self._unread) >= self._HEAD:
            (length,) = struct.unpack_from("<Q", self._unread)
            if length > self._LONGEST:
                self._lost, self._unread = True, b""
                return
            end = self._HEAD + length
            if len(self._unread) < end + 4:
                return
            record, self._unread = self._unread[self._HEAD : end], self._unread[end + 4 :]
            try:
                reading = _scalars(record)
            except (ValueError, struct.error, IndexError):
                continue
            if len(reading) > ("step" in reading):
                yield reading


def _scalars(event: bytes) -> Reading:
    reading: Reading = {"step": 0.0}
    for field, value in _fields(event):
        if field == 2 and isinstance(value, int):  # Event.step
            reading["step"] = float(value)
        elif field == 5 and isinstance(value, bytes):  # Event.summary
            for _, one in _fields(value):
                if isinstance(one, bytes):
                    reading.update(_scalar(one))
    return reading


def _scalar(value: bytes) -> Reading:
    tag, number = "", None
    for field, found in _fields(value):
        if field == 1 and isinstance(found, bytes):  # Value.tag
            tag = found.decode("utf-8", "replace")
        elif field == 2 and isinstance(found, float):  # Value.simple_value
            number = found
        elif field == 8 and isinstance(found, bytes):  # Value.tensor, as TensorFlow 2 writes scalars
            number = _tensor(found)
    return {tag: number} if tag and number is not None else {}


def _tensor(tensor: bytes) -> float | None:
    kinds = {1: "<f", 2: "<d"}  # DT_FLOAT, DT_DOUBLE
    kind = None
    for field, found in _fields(tensor):
        if field == 1 and isinstance(found, int):  # TensorProto.dtype
            kind = kinds.get(found)
        elif field == 4 and isinstance(found, bytes) and kind and len(found) == struct.calcsize(kind):
            return struct.unpack(kind, found)[0]  # tensor_content
        elif field == 5 and isinstance(found, bytes) and len(found) == 4:  # float_val, packed
            return struct.unpack("<f", found)[0]
        elif field in (5, 6) and isinstance(found, float):
            return found
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a protobuf message: varints as int, 4 and 8 bytes as float, the rest as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield field, value
        elif wire in (1, 5):
            size, kind = (8, "<d") if wire == 1 else (4, "<f")
            yield field, struct.unpack_from(kind, message, at)[0]
            at += size
        elif wire == 2:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("a field is longer than its message")
            yield field, message[at : at + size]
            at += size
        else:
            raise ValueError(f"unknown wire type {wire}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
