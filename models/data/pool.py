"""Many image files to one array, on all CPUs at once.

Threads do: Pillow lets go of Python's lock while it decodes and scales, and a trial that was forked with
torch in memory must not fork again.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data.captioned import Say
from models.data.decode import square
from models.data.progress import Progress, duration

TASK = 32  # files per task of a thread: some tens of milliseconds of work


@dataclass(frozen=True)
class Bad:
    """A file that could not be decoded."""

    number: int  # its place among the files
    why: str
    unreadable: bool  # the system would not give it, which may be otherwise tomorrow


@dataclass(frozen=True)
class Decoded:
    """The images that could be decoded, and why the others could not."""

    images: np.ndarray  # [N, 3, S, S] uint8, of the files that could be decoded, in their order
    bad: tuple[Bad, ...]


def decode(files: Sequence[Path], side: int, say: Say) -> Decoded:
    """Every file as a square of `side` pixels, shown while it goes on."""
    cpus = cpus_allowed()
    images = np.empty((len(files), 3, side, side), np.uint8)
    bad: list[Bad] = []

    def some(start: int) -> list[Bad]:
        failed = []
        for number in range(start, min(start + TASK, len(files))):
            try:
                images[number] = square(files[number], side)
            except MemoryError:
                raise
            except Exception as e:  # Pillow's decoders raise whatever a broken file leads them into
                failed.append(Bad(number, _why(e), isinstance(e, OSError) and e.errno is not None))
        return failed

    started, progress = time.monotonic(), Progress("images decoded", len(files), say)
    say(f"decoding {len(files):,} images to {side} x {side} on {cpus} CPUs")
    pool = ThreadPoolExecutor(cpus)
    try:
        for n, failed in enumerate(pool.map(some, range(0, len(files), TASK))):
            bad += failed
            progress.at(min((n + 1) * TASK, len(files)))
    finally:
        pool.shutdown(cancel_futures=True)  # when interrupted, not after everything else is decoded
        progress.end()
    say(f"decoded {len(files) - len(bad):,} images in {duration(time.monotonic() - started)}")
    return Decoded(np.delete(images, [b.number for b in bad], axis=0) if bad else images, tuple(bad))


def cpus_allowed() -> int:
    """The number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _why(error: Exception) -> str:
    """An error without the path that some of Pillow's repeat, on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if text.startswith("cannot identify image file"):
        text = "it is not a readable image"
    return " ".join(text.split()) or type(error).__name__
