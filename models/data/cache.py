"""Images are decoded once: the pixels stay in a file that the trials after it map into their memory.

The cache is in $TUNER_CACHE, else in $XDG_CACHE_HOME/tuner, else in ~/.cache/tuner. What it holds depends
on the list of files alone, each with its size and time of change, and on the square's side; captions are
always read afresh. A cache that can't be written costs time and nothing else.
"""

import fcntl
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np

from models.data.captioned import Say
from models.data.pool import Bad, Decoded, decode
from models.data.progress import EVERY, duration

FORMAT = 1  # raise it when the same file would be decoded to other pixels
POLL = 0.2  # seconds between two looks at a lock


def decoded(files: Sequence[Path], side: int, say: Say) -> tuple[Decoded, str]:
    """Every file decoded to `side` x `side`, from the cache when it has them, and a hash of all pixels.

    Of several processes that ask for the same at once one decodes, and the others wait for it.
    """
    home = folder()
    if home is None:
        say(f"decoded images {NOT_KEPT}: there is no home folder; set TUNER_CACHE")
        found = decode(files, side, say)
        return found, content_of(found.images)
    entry = Entry(home, key(files, side), (len(files), side))
    found = entry.load()
    if found is not None:
        return found
    with entry.alone(say) as writable:
        found = entry.load(say)  # another process may have decoded them while this one waited
        if found is not None:
            return found
        images = decode(files, side, say)
        content = content_of(images.images)
        if writable:
            entry.keep(images, content, say)
        return images, content


NOT_KEPT = "are not kept, so the next trial will decode them again"


def folder() -> Path | None:
    """Where decoded images are kept; None when the user has no home and names no other place."""
    if own := os.environ.get("TUNER_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared, "tuner").absolute()
    try:
        return Path.home() / ".cache" / "tuner"
    except RuntimeError:
        return None


def key(files: Sequence[Path], side: int) -> str:
    """Changes when a file does, when another is listed, or their order; not when captions do."""
    digest = hashlib.sha256(f"{FORMAT} {side}".encode())
    for path in files:
        try:
            stat = path.stat()
            facts = (str(path), stat.st_size, stat.st_mtime_ns)
        except OSError:  # gone since it was listed: decoding will say so
            facts = (str(path), None, None)
        digest.update(ascii(facts).encode())
    return digest.hexdigest()[:32]


def content_of(images: np.ndarray) -> str:
    """The hash of decoded images [N, 3, S, S] uint8."""
    return hashlib.sha256(images.data).hexdigest()


@dataclass(frozen=True)
class Entry:
    """The images of one list of files: KEY.npy, and KEY.json with what could not be decoded.

    The .json is written last and has the pixels' hash: without it, or with another hash, there is nothing.
    """

    home: Path
    key: str
    shape: tuple[int, int]  # files listed, and the side

    @property
    def pixels(self) -> Path:
        """The file of the decoded images."""
        return self.home / f"{self.key}.npy"

    @property
    def facts(self) -> Path:
        """The file that describes them; it is written last."""
        return self.home / f"{self.key}.json"

    def load(self, say: Say = lambda sentence: None) -> tuple[Decoded, str] | None:
        """The cached images, mapped into memory and checked; None when absent or damaged."""
        try:
            written = json.loads(self.facts.read_text())
            facts = written["facts"]
            if written["sha256"] != _sha256(facts):
                raise ValueError(f"{self.facts.name} has another hash than when it was written")
            # Copy on write: all trials share the memory, and none can spoil another's.
            images = np.load(self.pixels, mmap_mode="c", allow_pickle=False)
            bad = tuple(Bad(**b) for b in facts["bad"])
            files, side = self.shape
            if images.shape != (files - len(bad), 3, side, side) or images.dtype != np.uint8:
                raise ValueError(f"{self.pixels.name} holds {images.dtype} {images.shape}")
            if content_of(images) != facts["content"]:
                raise ValueError(f"{self.pixels.name} has another hash than when it was written")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, EOFError) as e:
            say(f"the images kept in {self.home} are damaged and are decoded again: {e}")
            return None
        return Decoded(images, bad), facts["content"]

    @contextmanager
    def alone(self, say: Say) -> Iterator[bool]:
        """Holds the lock of these images, which falls when its process dies; False when there can be none."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            lock = (self.home / f"{self.key}.lock").open("a")
        except OSError as e:
            say(f"decoded images {NOT_KEPT}: {e}; set TUNER_CACHE to a folder that can be written")
            yield False
            return
        with lock:
            yield _locked(lock, say)

    def keep(self, images: Decoded, content: str, say: Say) -> None:
        """Writes them, whole or not at all."""
        for left in self.home.glob(f"{self.key}.*.part"):  # of a process that was killed as it wrote
            left.unlink(missing_ok=True)
        if any(b.unreadable for b in images.bad):
            say(f"decoded images {NOT_KEPT}: some files could not be read, which may be otherwise then")
            return
        facts = {"content": content, "bad": [asdict(b) for b in images.bad]}
        try:
            _write(self.pixels, lambda file: np.save(file, images.images))
            text = json.dumps({"sha256": _sha256(facts), "facts": facts})
            _write(self.facts, lambda file: file.write(text.encode()))
        except OSError as e:
            say(
                f"decoded images {NOT_KEPT}: {self.home} can't be written ({e}); set TUNER_CACHE to a folder that can"
            )
            return
        say(f"they are kept in {self.home} ({images.images.nbytes / 1e6:,.0f} MB)")


def _locked(lock: IO, say: Say) -> bool:
    """Waits for a lock, telling so now and then; False on a file system that has none."""
    started, told = time.monotonic(), -math.inf
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            now = time.monotonic()
            if now - told > EVERY:
                say(
                    f"another process is decoding the same images; waiting for it ({duration(now - started)})"
                )
                told = now
            time.sleep(POLL)
        except OSError as e:
            say(
                f"decoded images {NOT_KEPT}: {lock.name} can't be locked ({e}); set TUNER_CACHE to a local folder"
            )
            return False


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """The file appears under its name when all of it is on the disk."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)  # and the name itself survives a power cut
    finally:
        os.close(parent)


def _sha256(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
