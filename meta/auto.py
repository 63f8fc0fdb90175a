"""Which method, and how many runs side by side: by estimated memory and the number of hyperparameters."""

from meta.hypers import Parts
from meta.inner import Inner
from meta.methods.method import Method
from meta.methods.tape import Tape
from meta.methods.unroll import Unroll

METHODS: dict[str, Method] = {method.name: method for method in (Unroll(), Tape())}


def choose(
    asked: str | Method, inner: Inner, parts: Parts, runs: int, chunk_size: int | None, limit: int
) -> tuple[Method, int, str]:
    """The method, how many of the runs go side by side, and a sentence that says why.

    inner, parts: those of one lone run. limit: bytes that may be taken.
    """
    if isinstance(asked, str):
        if asked not in METHODS:
            raise ValueError(f"method: {asked!r} is unknown; give one of auto, {', '.join(METHODS)}")
        asked = METHODS[asked]
    return asked, min(chunk_size or 1, runs), "asked for"
