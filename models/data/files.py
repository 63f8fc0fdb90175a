"""The user's own images: listed, split, decoded once, with problems handled as configured."""

from pathlib import Path

import torch

from models import config
from models.data import cache, coco, folder
from models.data.captioned import Pictures, Say
from models.data.listing import Item, Listing, within
from models.data.problems import Kind, Problem, settle
from models.data.split import hold_out, shuffled

BUNDLED = ("emoji", "shapes")


def pictures(wanted: config.Data, side: int, seed: int, say: Say) -> Pictures:
    """The images of the folder `wanted.source`, `side` x `side`.

    Raises ValueError when there is no such folder, when it has no captions, when something is wrong with
    them and `wanted.bad` is "refuse", and when nothing is left after skipping.
    """
    root = _folder(wanted.source)
    problems: list[Problem] = []
    listed = _listing(root, wanted.caption_column, problems, say)
    settle(problems, root, wanted.bad, say)  # before anything is decoded, which can take minutes
    train, valid = _split(listed, seed)
    _need_both(root, len(train), len(valid))

    items = train + valid
    decoded, content = cache.decoded([i.path for i in items], side, say)
    problems = [
        Problem(Kind.UNREADABLE if b.unreadable else Kind.CORRUPT, within(root, items[b.number].path), b.why)
        for b in decoded.bad
    ]
    settle(problems, root, wanted.bad, say)
    bad = {b.number for b in decoded.bad}
    usable = [i for n, i in enumerate(items) if n not in bad]
    ends = sum(n not in bad for n in range(len(train)))
    _need_both(root, ends, len(usable) - ends)
    return Pictures(torch.from_numpy(decoded.images), [i.captions for i in usable], ends, content)


def _folder(source: str) -> Path:
    try:
        root = Path(source).expanduser().absolute()
    except RuntimeError as e:  # ~nobody
        raise ValueError(f"data.source = {source!r}: {e}") from e
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ValueError(
            f"data.source = {source!r} is neither {' nor '.join(BUNDLED)}, and the folder {root} {what}; "
            f"give one of the two, or a folder of images with captions"
        )
    return root


def _listing(root: Path, column: str, problems: list[Problem], say: Say) -> Listing:
    try:
        if coco.captions_files(root):
            return coco.listing(root, problems, say)
        return folder.listing(root, column, problems, say)
    except PermissionError as e:
        raise ValueError(f"data.source = {str(root)!r} can't be read: {e}") from e


def _split(listed: Listing, seed: int) -> tuple[list[Item], list[Item]]:
    if listed.valid is None:
        train, valid = hold_out([i.name for i in listed.train], seed)
        return [listed.train[i] for i in train], [listed.train[i] for i in valid]
    order = shuffled([i.name for i in listed.valid], seed)  # a folder may be sorted by what is in its images
    return list(listed.train), [listed.valid[i] for i in order]


def _need_both(root: Path, train: int, valid: int) -> None:
    if not (train and valid):
        raise ValueError(
            f"{root} has {train} usable images for training and {valid} for validation; "
            f"at least one of each is needed"
        )
