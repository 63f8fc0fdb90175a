"""Problems with a user's images and captions: counted, named, and refused or skipped as configured.

Nothing is ever left out in silence: a model that learned from half of the images would look like one that
learned badly from all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.data.captioned import Say

NAMED = 5  # of each kind; more would bury the other kinds


class Kind(StrEnum):
    """The kinds of problems, in the order of the report."""

    MISSING = "missing files"
    CORRUPT = "images that can't be decoded"
    UNREADABLE = "files that can't be read"
    EMPTY = "empty captions"
    UNCAPTIONED = "images without a caption"
    MALFORMED = "malformed entries"
    DUPLICATE = "duplicate ids"
    UNKNOWN = "unknown image ids"
    NO_FOLDER = "captions files without their images"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a folder of images."""

    kind: Kind
    where: str  # a file, with its line or entry where it has any: "metadata.jsonl:17"
    what: str = ""  # details, where the kind alone is not enough


def settle(problems: Sequence[Problem], source: object, bad: str, say: Say) -> None:
    """Raises ValueError with the list when `bad` is "refuse"; passes the list to `say` when it is "skip"."""
    if not problems:
        return
    if bad == "refuse":
        raise ValueError(
            f"data.source = {str(source)!r} can't be used as it is:\n{_listed(problems)}\n"
            f'repair them, or give data.bad = "skip" to leave them out'
        )
    say(f'left out of {source}, as data.bad = "skip" asks:\n{_listed(problems)}')


def _listed(problems: Sequence[Problem]) -> str:
    lines = []
    for kind in Kind:
        of_kind = [p for p in problems if p.kind is kind]
        if of_kind:
            lines.append(f"  {kind}: {len(of_kind):,}")
            lines += [f"    {p.where}: {p.what}" if p.what else f"    {p.where}" for p in of_kind[:NAMED]]
        if len(of_kind) > NAMED:
            lines.append(f"    and {len(of_kind) - NAMED:,} more")
    return "\n".join(lines)
