"""The fold of a long journal, kept beside it: ten thousand trials are then on the screen at once.

`fold.json` holds a snapshot, how many bytes of the journal it is the fold of, and their SHA-256. It is used only
where these bytes are still the same; else, and where it can't be read, the journal is read as if there were none.
The engine writes it when it closes a study. Losing it costs seconds.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..search.search import UNKNOWN, Search, space_from_json
from .events import decode_end
from .folder import StudyFolder
from .snapshot import Snapshot, Trial
from .whole_file import write_alone

FORMAT = 5  # of fold.json; another one is passed over
LEAST_BYTES = 1_000_000  # of a journal; a shorter one is read within a tenth of a second
_BLOCK = 1 << 20
_CONSTANTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_OF_THEIR_OWN = ("search", "trials", "earlier", "reruns", "part_of", "where")
_AS_THEY_ARE = tuple(f.name for f in fields(Snapshot) if f.name not in _OF_THEIR_OWN)


def path_of(folder: StudyFolder) -> Path:
    """Where the fold of a study is kept."""
    return folder.path / "fold.json"


def save(folder: StudyFolder, snapshot: Snapshot) -> None:
    """Keep the fold of the whole journal as it is now; for the holder of the study's lock. Never raises."""
    try:
        size = folder.journal.stat().st_size
        if size < LEAST_BYTES:
            return
        record = {"format": FORMAT, "size": size, "sha256": _hash(folder.journal, size)}
        record["snapshot"] = encode(snapshot)
        write_alone(path_of(folder), json.dumps(record, separators=(",", ":")).encode())
    except (OSError, ValueError, TypeError):
        pass  # it is a convenience


def load(folder: StudyFolder) -> tuple[Snapshot, int] | None:
    """The kept fold, and how many bytes of the journal are in it; None where there is none that can be trusted."""
    try:
        # One nan for all, as in a journal that was read: a nan equals itself only as the same object.
        record = json.loads(path_of(folder).read_text(), parse_constant=_CONSTANTS.__getitem__)
        size = record["size"]
        if record["format"] != FORMAT or folder.journal.stat().st_size < size:
            return None
        if _hash(folder.journal, size) != record["sha256"]:
            return None
        return decode(record["snapshot"]), size
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def encode(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as values that Python's JSON can hold (it spells nan and infinity as JSON does not)."""
    record = {name: getattr(snapshot, name) for name in _AS_THEY_ARE}
    trials = [vars(trial) | {"latest": dict(trial.latest), "readings": [dict(r) for r in trial.readings]}
              for trial in snapshot.trials.values()]  # fmt: skip
    earlier = [replace(UNKNOWN, space=space).to_json()["space"] for space in snapshot.earlier]
    reruns = list(snapshot.reruns.items())
    return record | {
        "search": snapshot.search.to_json(),
        "earlier": earlier,
        "reruns": reruns,
        "trials": trials,
    }


def decode(record: dict[str, Any]) -> Snapshot:
    """The snapshot again. Raises KeyError, TypeError or ValueError for what was never one."""
    trials = {trial["number"]: _trial(trial) for trial in record["trials"]}
    return Snapshot(
        **{name: record[name] for name in _AS_THEY_ARE},
        search=Search.from_json(record["search"]),
        earlier=tuple(space_from_json(space) for space in record["earlier"]),
        reruns=dict(record["reruns"]),
        trials=MappingProxyType(trials),
    )


def _trial(record: dict[str, Any]) -> Trial:
    outcome, reason = decode_end(record["outcome"], record["reason"])
    return Trial(
        **record
        | {
            "outcome": outcome,
            "reason": reason,
            "curve": tuple([(step, loss) for step, loss in record["curve"]]),
            "training": tuple(record["training"]),
            "latest": MappingProxyType(record["latest"]),
            "readings": tuple(record["readings"]),
            "attempts": tuple([(at, reason, message) for at, reason, message in record["attempts"]]),
        }
    )


def _hash(path: Path, size: int) -> str:
    """SHA-256 of the first `size` bytes."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(_BLOCK, size))):
            found.update(block)
            size -= len(block)
    return found.hexdigest()
