"""Run one trial in its process: call the target, send what it yields or reports, say how it ended.

This file runs inside the user's process and imports only the standard library; pipe.py has the messages.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import inspect
import json
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

from .optuna_trial import PREFIX, SuggestedTrial, objective_of
from .pipe import Pipe

# Parameters the tuner supplies when the signature has them.
FILLED_IN = ("seed", "device", "out", "report", "trial", "slot")
_RUN_ID_S = 30.0  # a server that answers makes a run within a second or two
_SHOWN_CHARS = 1000  # of a default; a longer text is no hyperparameter
_MESSAGE_CHARS = 500  # of an exception's text in one line; the traceback file has it all


class Stop(BaseException):
    """Raised where a function may be stopped when the tuner asks it to end (generators are closed instead):
    at its next `report`, or at once in the main thread of a function that has none."""


def resolve(target: str) -> Callable[..., Any]:
    """The function named "module:function", or "optuna:module:objective". Raises ImportError, AttributeError or
    TypeError with a sentence."""
    if target.startswith(PREFIX):
        return objective_of(resolve(target[len(PREFIX) :]))
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
    "yields": it is a generator function, so it can measure while it trains, "defaults": those that are plain values}.

    A function with `**hypers` may say which ones it takes: `train.hypers = ("lr", "convnet.depth")`.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {"names": [], "required": [], "any": True, "yields": yields(function), "defaults": {}}
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    declared = [str(name) for name in getattr(function, "hypers", ())]
    return {
        "names": [p.name for p in by_name] + declared,
        "required": [p.name for p in by_name if p.default is p.empty],
        "any": not declared and any(p.kind is p.VAR_KEYWORD for p in parameters),
        "yields": yields(function),
        "defaults": {p.name: p.default for p in by_name if _is_shown(p.default)},
    }


def _is_shown(default: Any) -> bool:
    if isinstance(default, str):
        return len(default) <= _SHOWN_CHARS
    return isinstance(default, (bool, int, float))


def yields(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a generator, decorated functions included."""
    return inspect.isgeneratorfunction(inspect.unwrap(function))


def run(job: Mapping[str, Any], pipe_fd: int) -> int:
    """Run one trial to its end and return the exit code its process should leave with."""
    secrets = {name: os.environ.get(variable, "") for name, variable in job.get("secret", {}).items()}
    pipe = Pipe(pipe_fd, job.get("ahead"), secrets.values())
    share_run(job)
    if job.get("command"):
        from .script import run_script

        return run_script(job, pipe)
    stop = threading.Event()
    interruptible = False  # the target is a plain function that never asks whether it should stop

    def on_sigterm(signum: int, frame: object) -> None:
        stop.set()
        if interruptible and pipe.ours:
            raise Stop

    def report(measured: Any = None, **values: Any) -> None:
        """Send a measurement: `report(0.5)`, `report({"loss": 0.5, "step": 3})` or `report(loss=0.5, step=3)`.

        Raises Stop when the trial has been asked to end, RuntimeError in a process that the trial has forked.
        """
        if not pipe.ours:
            raise RuntimeError(
                "report was called in another process than the trial's own; call it in that one"
            )
        if measured is None or values:
            measured = {**(measured or {}), **values}
        if measured:
            pipe.measure(measured, job["objective"])
        if stop.is_set():
            raise Stop

    def on_fork() -> None:
        """What the target forks is no trial: SIGTERM ends a worker, as its parent expects, and is not the trial's."""
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGTERM) is on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signals = _signals_from_here()
    os.register_at_fork(after_in_child=on_fork)
    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's business
    try:
        _seed_everything(job["seed"])
        function = resolve(job["target"])
        if job["target"].startswith(PREFIX):
            result = function(SuggestedTrial(job, pipe, stop.is_set))
            if isinstance(result, (tuple, list)):
                raise TypeError(f"the objective returned {len(result)} values; a study minimises one")
            if stop.is_set():
                raise Stop
            pipe.measure(result, job["objective"])
            pipe.send({"end": "returned", "terminated": _has_come(signal.SIGTERM, signals)})
            return 0
        arguments = _arguments(function, job, report) | secrets
        interruptible = not yields(function) and "report" not in arguments
        result = function(**arguments)
        if isinstance(result, (Generator, Iterator)):
            interruptible = False
            result = _drain(result, pipe, job["objective"], stop)
            if stop.is_set() and result is Stop:
                pipe.send({"end": "stopped"})
                return 0
        interruptible = False
        if result is not None:
            pipe.measure(result, job["objective"])
        pipe.send({"end": "returned", "terminated": _has_come(signal.SIGTERM, signals)})
        return 0
    except Stop:
        pipe.send({"end": "stopped"})
        return 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if isinstance(left.code, str):
            _complain(left.code)
        pipe.send({"end": "exit", "code": code, "terminated": _has_come(signal.SIGTERM, signals)})
        return code
    except BaseException as error:
        if pipe.ours:
            pipe.send(_last_word(error, Path(job["folder"]), pipe.mask))
        return 1


def _signals_from_here() -> int:
    """A descriptor that holds the numbers of all signals which Python handles from now on, also by handlers that the
    target puts in the place of ours: who was asked to end and returns did not end by itself."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    os.set_blocking(theirs, False)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    return ours


def _has_come(number: int, signals: int) -> bool:
    try:
        return number in os.read(signals, 1 << 16)
    except OSError:  # none has
        return False


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


def share_run(job: Mapping[str, Any]) -> None:
    """Wait for the id of the trial's MLflow run and put it where MLflow looks. The publisher makes the run a moment
    after the trial has begun; where MLflow does not answer, the trial goes on without it."""
    if not job.get("run_ids"):
        return
    deadline = time.monotonic() + _RUN_ID_S
    while time.monotonic() < deadline:
        try:
            run = json.loads(Path(job["run_ids"]).read_text(encoding="utf-8"))["runs"].get(str(job["trial"]))
        except (OSError, ValueError, KeyError, AttributeError):
            run = None
        if run:
            os.environ["MLFLOW_RUN_ID"] = run
            return
        time.sleep(0.05)
    _complain(f"tuner: MLflow made no run for this trial within {_RUN_ID_S:g} s; what it logs is not shared")


def prepare_process(job: Mapping[str, Any]) -> None:
    """Give a fresh process its log, environment and thread count, before anything can touch a GPU."""
    os.environ.update(job["environment"])
    log = os.open(Path(job["folder"]) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
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


def _arguments(
    function: Callable[..., Any], job: Mapping[str, Any], report: Callable[..., None]
) -> dict[str, Any]:
    filled = {
        "seed": job["seed"], "device": job["device"], "out": str(Path(job["folder"]) / "out"), "report": report,
        "trial": job["trial"], "slot": job["slot"],
    }  # fmt: skip
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


def _seed_everything(seed: int) -> None:
    """Forked trials share their parent's random state; seed what is loaded, so each draws its own."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if (torch := sys.modules.get("torch")) and hasattr(torch, "manual_seed"):
        torch.manual_seed(seed)


def _last_word(error: BaseException, folder: Path, mask: Callable[[str], str]) -> dict[str, Any]:
    """Write the traceback for a person; return the message for the engine. Nothing here may fail: an error whose
    text can't be had, a folder that is gone or a closed stderr must not hide what the error was."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next  # our own frames teach the reader nothing
    name = type(error).__name__
    try:
        message = " ".join(str(error).split())[:_MESSAGE_CHARS]
    except BaseException as worse:
        message = f"(its text can't be had: its __str__ raised {type(worse).__name__})"
    try:
        text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
    except BaseException:
        text = "".join(traceback.format_tb(frames or error.__traceback__)) + f"{name}: {message}\n"
    keep_traceback(folder, mask(text))
    _complain(mask(text))
    last = traceback.extract_tb(frames)[-1] if frames is not None else None
    memory = isinstance(error, MemoryError) or is_out_of_memory(name, message)
    where = f"{Path(last.filename).name}:{last.lineno}" if last else ""
    return {
        "end": "raised", "type": name, "message": message, "where": where, "memory": memory,
        "pruned": name == "TrialPruned",
        "diverged": name == "Diverged",  # the target's own word for it: a class of its own, or of a library
    }  # fmt: skip


def keep_traceback(folder: Path, text: str) -> None:
    """Write a traceback where people look for it, if there is still a place."""
    try:
        fd = os.open(folder / "traceback.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        pass


def is_out_of_memory(name: str, message: str) -> bool:
    """Whether an exception of this class name and text says that memory ran out."""
    return (
        name in ("MemoryError", "OutOfMemoryError")  # the second is torch's, known without importing torch
        or "out of memory" in message.lower()
        or "can't allocate memory" in message  # torch's CPU allocator
    )


def _complain(text: str) -> None:
    """Write to the log, if there still is one."""
    try:
        print(text, file=sys.stderr)
    except (OSError, ValueError, AttributeError):
        pass
