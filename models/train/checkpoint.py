"""Checkpoints: written atomically, and resumed only by the training that they belong to.

A machine may die in the middle of a save, and a killed trial often does. So a checkpoint is written
beside its place, forced onto the disk, and renamed over the one before: at any moment there is the old
one or the new one, complete. `read` looks at any checkpoint; `load` is for going on from it, and refuses
one of another configuration, seed or data: going on would give numbers that no single training has.
"""

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.config import Config
from models.train import schedules

LAST = "checkpoint.pt"  # everything: training goes on from it
BEST = "best.pt"  # the weights that had the best validation loss: for drawing with
VERSION = 1  # of the layout below; another one is refused
PARTIAL = ".partial"  # the suffix of a file that is being written
ABSENT = "nothing"  # shown as the value of a hyperparameter that one side does not have

FREE = ("stop.", "speed.graph", "report_every", "checkpoint_every", "train_exam", "data.source", "data.bad")
"""Settings that may differ on resume, because they do not change a step. (The data are compared by digest.)"""

PLATEAU_NEEDS = ("stop.window", "report_every")  # under this schedule they do: its rate follows measurements


class CheckpointError(ValueError):
    """A checkpoint that can't be used or written; the message names it and the remedy."""


@dataclass(frozen=True)
class Identity:
    """What identifies a training: its configuration, data and seed."""

    config: Config
    digest: str  # of the data
    seed: int


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: `hypers` are Config.hypers() of the training, `state` is the value given to `save`."""

    hypers: dict[str, Any]
    digest: str
    seed: int
    state: dict[str, Any]


def save(path: Path, state: Mapping[str, Any], of: Identity) -> None:
    """Put `state` (dicts, lists and tuples of tensors, numbers, text, None) at `path`; folders are made.

    An existing file is replaced atomically, and leftovers of a killed save are removed from the folder.
    Raises CheckpointError when it can't be written (an existing file is then unchanged), and TypeError when
    `state` contains something that `load` would refuse to read.
    """
    _check_plain(state, "state")
    whole = {
        "version": VERSION,
        "hypers": of.config.hypers(),
        "digest": of.digest,
        "seed": of.seed,
        "state": state,
    }
    partial = path.with_name(path.name + PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"*.pt{PARTIAL}"):
            left.unlink(missing_ok=True)
        try:
            with partial.open("wb") as file:
                torch.save(whole, file)
                file.flush()
                os.fsync(file.fileno())  # or the rename could reach the disk before the bytes
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)  # a disk that is full gets its space back
            raise
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        if (reason := _reason(error)) is None:
            raise
        old = "; the checkpoint before it is whole" if path.is_file() else ""
        raise CheckpointError(
            f"{path}: could not be written ({reason}){old}; make room or save elsewhere"
        ) from error


def read(path: Path) -> Checkpoint:
    """The checkpoint at `path`, its tensors on the CPU: a model that just fits its GPU has no room there for
    a second copy, and `load_state_dict` moves them. Runs no code that may be hidden in the file.

    Raises CheckpointError when it is not there, damaged (checksums are compared), or of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load would take a flipped bit for a weight
            intact = archive.testzip() is None
        whole = torch.load(path, map_location="cpu", weights_only=True) if intact else None
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no checkpoint; check the path, or train from the beginning"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror}); check the path") from error
    except pickle.UnpicklingError as error:  # sound, but holds something else than we write
        raise _foreign(path) from error
    except MemoryError:
        raise
    except Exception as error:  # damage makes zipfile and PyTorch raise nearly anything
        raise _damaged(path) from error
    if not intact:
        raise _damaged(path)
    if not isinstance(whole, dict) or "version" not in whole:
        raise _foreign(path)
    if whole["version"] != VERSION:
        raise CheckpointError(
            f"{path}: has version {whole['version']}, and only version {VERSION} can be read here; use the program "
            f"that wrote it, or train from the beginning"
        )
    return Checkpoint(whole["hypers"], whole["digest"], whole["seed"], whole["state"])


def load(path: Path, expect: Identity) -> dict[str, Any]:
    """The state to go on from, its tensors on the CPU.

    Raises CheckpointError as `read` does, and when the checkpoint is not of the training `expect`. The names
    in FREE may differ, and so may `steps` and `images` if that changes nothing about the steps already done.
    """
    found = read(path)
    if differing := _differing(found.hypers, expect.config):
        listed = "; ".join(f"{name} was {was!r} and is {now!r}" for name, was, now in differing)
        raise CheckpointError(
            f"{path}: was trained with another configuration: {listed}. Give the former values, or train from the "
            f"beginning"
        )
    if found.seed != expect.seed:
        raise CheckpointError(
            f"{path}: was trained with seed {found.seed}, not {expect.seed}; give seed {found.seed}, or train from "
            f"the beginning"
        )
    if found.digest != expect.digest:
        was = found.hypers.get("data.source", ABSENT)
        raise CheckpointError(
            f"{path}: was trained on other data ({was!r} then had digest {found.digest}, "
            f"{expect.config.data.source!r} now has {expect.digest}); restore them, or train from the beginning"
        )
    return found.state


def _differing(was: Mapping[str, Any], config: Config) -> list[tuple[str, Any, Any]]:
    """(name, value then, value now) of the settings that differ and must not."""
    now = config.hypers()
    free = {name for name in {*was, *now} if name.startswith(FREE)}
    if config.schedule.kind == "plateau":
        free -= {*PLATEAU_NEEDS}
    if not schedules.depends_on_steps(config):
        free |= {"steps", "images"}
    pairs = ((name, was.get(name, ABSENT), now.get(name, ABSENT)) for name in dict.fromkeys([*now, *was]))
    return [(name, a, b) for name, a, b in pairs if name not in free and a != b]


def _check_plain(value: Any, place: str) -> None:
    """Raises TypeError at the first save, instead of an error at a resume days later."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_plain(key, f"a key of {place}")
            _check_plain(inner, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            _check_plain(inner, f"{place}[{i}]")
    elif not isinstance(value, Tensor) and type(value) not in (int, float, bool, str, type(None)):
        raise TypeError(
            f"{place} is a {type(value).__name__}, which a checkpoint can't hold; make it a plain value"
        )


def _sync_folder(folder: Path) -> None:
    """Flushes the rename itself to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: BaseException | None) -> str | None:
    """The operating system's message, also where PyTorch's writer raised an error of its own over it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error and error.strerror


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: is damaged, cut short or changed since it was written; restore a copy, or train from the beginning"
    )


def _foreign(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: is not a checkpoint of the caption model; give a checkpoint.pt that it wrote"
    )
