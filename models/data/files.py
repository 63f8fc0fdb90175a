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
    train, valid = _split(listed, seed)
    items = train + valid
    # Whatever is wrong is told in one list, so images are decoded even when captions are wrong; they are kept,
    # so nothing is lost by that.
    decoded, content = cache.decoded([i.path for i in items], side, say) if items else (None, "")
    for b in decoded.bad if decoded else ():
        kind = Kind.UNREADABLE if b.unreadable else Kind.CORRUPT
        problems.append(Problem(kind, within(root, items[b.number].path), b.why))
    settle(problems, root, wanted.bad, say)

    bad = {b.number for b in decoded.bad} if decoded else set()
    usable = [i for n, i in enumerate(items) if n not in bad]
    ends = sum(n not in bad for n in range(len(train)))
    images = torch.from_numpy(decoded.images) if decoded else torch.empty(0)
    if bad and listed.valid is None:  # a tenth of those that are left: validation may have lost all it had
        learned, held = hold_out([i.name for i in usable], seed)
        usable, ends, images = [usable[n] for n in learned + held], len(learned), images[learned + held]
    if not 0 < ends < len(usable):
        raise ValueError(
            f"{root} has {ends} usable images for training and {len(usable) - ends} for validation; "
            f"at least one of each is needed"
        )
    return Pictures(images, [i.captions for i in usable], ends, content)


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
