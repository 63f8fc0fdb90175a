"""Which images are held out for validation: decided by each image's own name and the split's seed alone.

So it does not matter how many other images there are: a newer Python that knows more emoji, or a folder
that has grown, does not reshuffle the rest. The split's seed is not the trial's: all trials of a search
are judged on the same images.
"""

import hashlib
from collections.abc import Sequence

VALID = 0.1  # the share of images held out


def draw(seed: int, name: str) -> float:
    """Uniform on [0, 1), the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64


def hold_out(names: Sequence[str], seed: int) -> tuple[list[int], list[int]]:
    """The places in `names` of training and of validation images.

    The latter come in an order of their own, so that a few are a fair sample. Of two images or more at
    least one is held out, and at most half.
    """
    draws = [draw(seed, name) for name in names]
    order = sorted(range(len(names)), key=draws.__getitem__)
    valid = [i for i in order if draws[i] < VALID]
    if len(names) > 1:
        valid = valid[: len(names) // 2] or order[:1]
    held = set(valid)
    return [i for i in range(len(names)) if i not in held], valid


def shuffled(names: Sequence[str], seed: int) -> list[int]:
    """The places in `names` in the order of their draws."""
    return sorted(range(len(names)), key=lambda i: draw(seed, names[i]))
