"""Run a command as a trial: keep its output, read measurements from it, pass a request to stop on, and end as it
ended.

This process is the trial; the command is its child, in the same process group. Everything it prints goes to the
trial's log as it comes.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .child import is_out_of_memory, keep_traceback
from .pipe import Pipe
from .readings import Files, JsonLines, Patterns, Reader, Reading

_READ_BYTES = 1 << 16
_LINE_BYTES = 1 << 16  # a longer line is no measurement; it is cut here, and the log has all of it
_FILES_S = 0.5  # how often a followed file is looked at
_AFTER_S = 0.3  # how long output of what the command left running is awaited after its own end
_TAIL_LINES = 200  # a traceback is looked for in these
_MESSAGE_CHARS = 500
_LINE_ENDS = re.compile(rb"[\r\n]")  # a progress bar writes its lines over each other with \r


def run_script(job: Mapping[str, Any], pipe: Pipe) -> int:
    """Run the job's command to its end; return the exit code this process should leave with.

    When a signal has ended the command, this process ends itself by the same one, so that whoever reads its exit
    status learns it.
    """
    folder = Path(job["folder"])
    read = job.get("read") or {}
    asked = False

    def on_sigterm(signum: int, frame: object) -> None:
        # The whole group: a shell between us and the program would not pass it on. We are in it too, hence `asked`.
        nonlocal asked
        if not asked:
            asked = True
            os.killpg(0, signal.SIGTERM)

    signal.signal(signal.SIGTERM, on_sigterm)
    # A handler and not SIG_IGN, which the command would inherit; Ctrl-C is the engine's business.
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    try:
        files = Files(read["file"], read["step"], from_now=True) if read.get("file") else None
        script = subprocess.Popen(
            list(job["command"]), cwd=job["cwd"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        message = f"{job['command'][0]} can't be started: {error.strerror or error}"
        pipe.send({"end": "exit", "code": 127, "message": message})
        return 127

    if asked:  # before there was anything to pass it on to
        script.terminate()
    output = _Output(script)
    for reading in _readings(output, _reader(read), files):
        pipe.measure(reading, job["objective"])
    return _last_word(script.wait(), output, folder, pipe, stopped=asked)


def _reader(read: Mapping[str, Any]) -> Reader | None:
    """What reads the output: patterns where there are some, else JSON, unless a file is followed."""
    if read.get("patterns"):
        return Patterns(read["patterns"], read["step"])
    return None if read.get("file") else JsonLines(read.get("step", "step"))


def _readings(output: _Output, lines: Reader | None, files: Files | None) -> Iterator[Reading]:
    looked = 0.0
    while output.running:
        for line in output.lines(_FILES_S):
            if lines is not None:
                yield from lines.read(line)
        if files is not None and time.monotonic() - looked >= _FILES_S:
            looked = time.monotonic()
            yield from files.read()
    if files is not None:
        yield from files.read()


class _Output:
    """The lines that a command prints, which are written to the log as they come."""

    def __init__(self, script: subprocess.Popen[bytes]) -> None:
        assert script.stdout is not None
        self._script = script
        self._pipe = script.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._unread = b""
        self._quiet_since: float | None = None
        self.running = True  # there may be more to come
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def lines(self, timeout: float) -> Iterator[str]:
        """What was printed within `timeout` seconds, at most a buffer full; the last line too once it is over."""
        over = self._script.poll() is not None
        data = b""
        # Short naps: the end of the command is not seen through its pipe while something it started holds it open.
        if self._selector.select(min(timeout, 0.05 if over else 0.2)):
            data = os.read(self._pipe, _READ_BYTES)
            if not data:
                self.running = False
                self._script.wait()
        if data:
            self._quiet_since = None
            _log(data)
        elif over:
            self._quiet_since = self._quiet_since or time.monotonic()
            if time.monotonic() - self._quiet_since > _AFTER_S:
                self.running = False
        *whole, self._unread = _LINE_ENDS.split(self._unread + data)
        if len(self._unread) > _LINE_BYTES:
            whole.append(self._unread[:_LINE_BYTES])
            self._unread = b""
        if not self.running and self._unread:
            whole.append(self._unread)
            self._unread = b""
        for line in whole:
            if line.strip():
                text = line[:_LINE_BYTES].decode("utf-8", "replace")
                self.tail.append(text)
                yield text


def _log(data: bytes) -> None:
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        pass  # a full disk: what the script measures is still read


def _last_word(code: int, output: _Output, folder: Path, pipe: Pipe, *, stopped: bool) -> int:
    if stopped:
        pipe.send({"end": "stopped"})
        return 0
    if code < 0:
        _end_by(-code)
    if code == 0:
        pipe.send({"end": "exit", "code": 0})
        return 0
    error = last_error(list(output.tail))
    if error is not None:
        kind, message, where, text = error
        keep_traceback(folder, pipe.mask(text) + "\n")
        pipe.send(
            {"end": "raised", "type": kind, "message": message[:_MESSAGE_CHARS], "where": where,
             "memory": is_out_of_memory(kind, message), "diverged": kind == "Diverged"}
        )  # fmt: skip
        return code
    last = " ".join(output.tail[-1].split())[:_MESSAGE_CHARS] if output.tail else ""
    pipe.send({"end": "exit", "code": code, "message": f"left with exit code {code}{last and f': {last}'}"})
    return code


def last_error(lines: list[str]) -> tuple[str, str, str, str] | None:
    """(class name, message, "file.py:12", traceback) of the last Python traceback in these lines, if there is one."""
    begins = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not begins:
        return None
    end = begins[-1] + 1
    where = ""
    while end < len(lines) and lines[end].startswith(" "):
        frame = re.match(r'  File "(.+)", line (\d+)', lines[end])
        if frame:
            where = f"{Path(frame[1]).name}:{frame[2]}"
        end += 1
    said = re.match(r"([\w.]+)(?:: (.*))?$", lines[end]) if end < len(lines) else None
    if said is None:
        return None
    name, message = said[1].rpartition(".")[2], " ".join((said[2] or "").split())
    return name, message, where, "\n".join(lines[begins[-1] : end + 1])


def _end_by(number: int) -> None:
    """End this process by a signal, without a core file of its own beside the command's."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), number)
    time.sleep(1.0)  # delivered at once, unless it is blocked
    os._exit(128 + number)
