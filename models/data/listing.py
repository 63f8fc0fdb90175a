"""What a folder has to offer before an image is opened: files, what is said of each, and what is wrong."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data.decode import SUFFIXES


@dataclass(frozen=True)
class Item:
    """One image file and its captions."""

    path: Path
    name: str  # its path as its folder's metadata has it; decides on which side of a split it falls
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    train: Sequence[Item]
    valid: Sequence[Item] | None  # None: nobody has said, so some of train are to be held out


def images_below(folder: Path) -> list[Path]:
    """All image files in a folder and its subfolders, by name; hidden ones belong to the system."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [
            Path(parent, n)
            for n in names
            if not n.startswith(".") and os.path.splitext(n)[1].lower() in SUFFIXES  # noqa: PTH122 (10x faster)
        ]
    return sorted(found)
