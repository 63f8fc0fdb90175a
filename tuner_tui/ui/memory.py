"""What the screen remembers between two uses: theme, layout, and how studies stood when they were last looked at.

One file, `$XDG_CONFIG_HOME/tuner/screen.json` (by default `~/.config/tuner/screen.json`). It holds nothing
that can't be lost: an unreadable one is as good as none, and a file that can't be written is not written.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..study.snapshot import Snapshot
from ..study.whole_file import write_whole

MOST_LOOKS = 200  # studies; the oldest looks are forgotten first


def path() -> Path:
    """Where it is kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "tuner" / "screen.json"


@dataclass(frozen=True)
class Look:
    """How a study stood when it was last left."""

    ended: int
    failed: int
    best: float | None

    @classmethod
    def at(cls, snapshot: Snapshot) -> Look:
        """How it stands now."""
        counts, best = snapshot.counts, snapshot.best
        return cls(counts.ended, counts.unfinished + counts.no_start, best.value if best else None)


class Memory:
    """The file's content. Every change is written at once."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = path() if file is None else file
        self._kept: dict[str, Any] = {}
        try:
            found = json.loads(self._file.read_text())
            self._kept = found if isinstance(found, dict) else {}
        except (OSError, ValueError, RecursionError):
            pass

    def get(self, key: str, usual: Any) -> Any:
        """What is kept under a key, if it is of the kind of `usual`; else that."""
        found = self._kept.get(key, usual)
        return found if isinstance(found, type(usual)) else usual

    def keep(self, key: str, value: Any) -> None:
        """Remember a value that JSON can hold."""
        if self._kept.get(key) != value:
            self._kept[key] = value
            self._save()

    def look(self, address: str) -> Look | None:
        """How the study at an address stood when it was last left; None: never seen."""
        record = self.get("looks", {}).get(address)
        try:
            return Look(int(record["ended"]), int(record["failed"]), record["best"])
        except (TypeError, KeyError, ValueError):
            return None

    def keep_look(self, address: str, look: Look) -> None:
        """Remember how a study stands now."""
        looks = dict(self.get("looks", {}))
        looks.pop(address, None)
        looks[address] = vars(look)
        self.keep("looks", dict(list(looks.items())[-MOST_LOOKS:]))

    def _save(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, json.dumps(self._kept, indent=1).encode())
        except OSError:
            pass
