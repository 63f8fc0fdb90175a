"""The trial's side of the pipe: call the target, send what it yields, report how it ended.

This file runs inside the user's process and imports only the standard library. Messages are
JSON lines:

    {"step": 12, "values": {"loss": 0.5}, "at": 1700000000.0}     a measurement
    {"end": "returned"} | {"end": "stopped"} | {"end": "exit", "code": 3}
    {"end": "raised", "type": "ValueError", "message": "...", "where": "train.py:12", "memory": false,
     "diverged": false}

A pipe that ends without an "end" is a crash; the engine reads the process's exit status then.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import inspect
import json
import math
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

FILLED_IN = ("seed", "device", "out")  # parameters the tuner supplies when the signature has them
_MESSAGE_CHARS = 500  # of an exception's text in one line; the traceback file has it all
_NOT_FINITE = {math.inf: "inf", -math.inf: "-inf"}


class Stop(BaseException):
    """Raised in a plain function's main thread when the tuner asks it to end (generators are closed)."""


class Pipe:
    """The connection to the engine. `at` increases strictly, so that it identifies a measurement."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0.0
        self._steps = 0

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message to the engine, as a line of JSON."""
        data = (json.dumps(message, allow_nan=False, separators=(",", ":")) + "\n").encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def measure(self, measured: Any, objective: str) -> None:
        """Send one yield: a number (the objective), or a mapping of names to numbers, "step" among them."""
        values = dict(measured) if isinstance(measured, Mapping) else {objective: measured}
        step = int(values.pop("step")) if "step" in values else self._steps
        self._steps = step + 1
        self._at = max(time.time(), self._at + 1e-6)
        self.send(
            {"step": step, "values": {str(k): _number(k, v) for k, v in values.items()}, "at": self._at}
        )


def resolve(target: str) -> Callable[..., Any]:
    """The function named "module:function". Raises ImportError or AttributeError with a sentence."""
    module_name, _, function_name = target.partition(":")
    value: Any = importlib.import_module(module_name)
    for part in function_name.split("."):
        if not hasattr(value, part):
            raise AttributeError(f"module {module_name!r} ({value_file(value)}) has no {function_name!r}")
        value = getattr(value, part)
    if not callable(value):
        raise AttributeError(f"{target} is a {type(value).__name__}, not a function")
    return value


def value_file(value: Any) -> str:
    """The file that a module or its like was loaded from."""
    return str(getattr(value, "__file__", None) or "built in")


def describe(function: Callable[..., Any]) -> dict[str, Any]:
    """What a search must know of a target: {"names": [...], "required": [...], "any": takes **anything,
    "yields": it is a generator function, so it can measure while it trains}.

    A function with `**hypers` may say which ones it takes: `train.hypers = ("lr", "convnet.depth")`.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {"names": [], "required": [], "any": True, "yields": yields(function)}
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    declared = [str(name) for name in getattr(function, "hypers", ())]
    return {
        "names": [p.name for p in by_name] + declared,
        "required": [p.name for p in by_name if p.default is p.empty],
        "any": not declared and any(p.kind is p.VAR_KEYWORD for p in parameters),
        "yields": yields(function),
    }


def yields(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a generator, decorated functions included."""
    return inspect.isgeneratorfunction(inspect.unwrap(function))


def run(job: Mapping[str, Any], pipe_fd: int) -> int:
    """Run one trial to its end and return the exit code its process should leave with."""
    pipe = Pipe(pipe_fd)
    stop = threading.Event()
    waiting_in_function = False

    def on_sigterm(signum: int, frame: object) -> None:
        stop.set()
        if waiting_in_function:
            raise Stop

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's business
    try:
        _seed_everything(job["seed"])
        function = resolve(job["target"])
        waiting_in_function = not yields(function)
        result = function(**_arguments(function, job))
        if isinstance(result, Generator | Iterator):
            waiting_in_function = False
            result = _drain(result, pipe, job["objective"], stop)
            if stop.is_set() and result is Stop:
                pipe.send({"end": "stopped"})
                return 0
        if result is not None:
            pipe.measure(result, job["objective"])
        pipe.send({"end": "returned"})
        return 0
    except Stop:
        pipe.send({"end": "stopped"})
        return 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
        pipe.send({"end": "exit", "code": code})
        return code
    except BaseException as error:
        pipe.send(_last_word(error, Path(job["folder"])))
        return 1


def leave(code: int) -> None:
    """End this forked process as an interpreter would, without running its parent's business twice."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the target's non-daemon threads, as a normal exit does
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def prepare_process(job: Mapping[str, Any]) -> None:
    """Give a fresh process its log, environment and thread count, before anything can touch a GPU."""
    os.environ.update(job["environment"])
    log = os.open(Path(job["folder"]) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()  # a segfault leaves its Python stack in the log
    try:  # when memory runs out the kernel should pick a trial, not the engine
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        pass
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(int(job["threads"]))


def _arguments(function: Callable[..., Any], job: Mapping[str, Any]) -> dict[str, Any]:
    filled = {"seed": job["seed"], "device": job["device"], "out": str(Path(job["folder"]) / "out")}
    names = describe(function)["names"]
    return {name: filled[name] for name in FILLED_IN if name in names} | dict(job["params"])


def _drain(generator: Any, pipe: Pipe, objective: str, stop: threading.Event) -> Any:
    """Send every yield but None, which measures nothing: it only says that here the trial may be stopped.

    Return what the generator returned, or Stop when it was closed on request.
    """
    try:
        while True:
            measured = next(generator)
            if measured is not None:
                pipe.measure(measured, objective)
            if stop.is_set():
                if hasattr(generator, "close"):
                    generator.close()  # its finally blocks run here
                return Stop
    except StopIteration as end:
        return end.value


def _number(name: object, value: Any) -> float | str:
    try:
        number = float(value)  # also numpy and torch scalars
    except (TypeError, ValueError) as error:
        raise TypeError(f"measurement {name!r} is {value!r}, not a number") from error
    if math.isfinite(number):
        return number
    return _NOT_FINITE.get(number, "nan")


def _seed_everything(seed: int) -> None:
    """Forked trials share their parent's random state; seed what is loaded, so each draws its own."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if (torch := sys.modules.get("torch")) and hasattr(torch, "manual_seed"):
        torch.manual_seed(seed)


def _last_word(error: BaseException, folder: Path) -> dict[str, Any]:
    """Write the traceback for a person; return the message for the engine."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next  # our own frames teach the reader nothing
    text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
    (folder / "traceback.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    print(text, file=sys.stderr)
    last = traceback.extract_tb(frames)[-1] if frames is not None else None
    name = type(error).__name__
    message = " ".join(str(error).split())[:_MESSAGE_CHARS]
    memory = (
        isinstance(error, MemoryError)
        or name == "OutOfMemoryError"  # torch.OutOfMemoryError, without importing torch
        or "out of memory" in message.lower()
        or "can't allocate memory" in message  # torch's CPU allocator
    )
    where = f"{Path(last.filename).name}:{last.lineno}" if last else ""
    return {
        "end": "raised", "type": name, "message": message, "where": where, "memory": memory,
        "diverged": name == "Diverged",  # the target's own word for it: a class of its own, or of a library
    }  # fmt: skip
