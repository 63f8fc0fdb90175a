"""The choice of a method, and of the number of runs per vmap, by memory and number of hyperparameters."""

from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.checkpoint import Checkpoint
from meta.methods.evolution import Evolution
from meta.methods.forward import Forward
from meta.methods.implicit import Implicit
from meta.methods.method import Method
from meta.methods.replay import Replay
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.methods.truncated import Truncated
from meta.methods.unroll import Unroll

EXACT: tuple[Method, ...] = (Unroll(), Tape(), Checkpoint(), Replay(), Reversible(), Forward())
OTHER: tuple[Method, ...] = (Implicit(), Truncated(), Evolution())
METHODS = {method.name: method for method in EXACT + OTHER}

# The exact ones for every kind of hyperparameter. Milliseconds per step of 784-100-10 on CPU: plain training 0.9,
# tape 3.3, checkpoint 3.9, forward 5.4 for one hyperparameter and 6.5 for two, reversible 5.0. Reversible comes after
# them all the same: it needs weights within a range and deterministic kernels. Replay needs neither, and is slower
# still: it is for optimisers that have no inverse.
WAYS = ("tape", "checkpoint", "forward", "reversible", "replay")
FEW = 2  # hyperparameters for forward mode: each more adds 1.2 ms to a step, and reversing takes them all at once
TINY = 10_000  # parameters: on CPU vmap saves overhead and no arithmetic, measured 4x at 3,000 and 1.1x at 80,000
AT_WORK = 8  # vectors of P a run has in work, whatever the method: state, adjoint, g, u, Hessian products


def choose(
    asked: str | Method, inner: Inner, parts: Parts, runs: int, chunk_size: int | None, limit: int
) -> tuple[Method, int, str]:
    """The method, the number of runs side by side, and the reason as a sentence.

    inner, parts: those of a single run. limit: bytes that may be used. Raises ValueError when no method fits, or the
    requested one is unknown, not applicable or too large.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size: is {chunk_size}; give 1 or more runs side by side, or None")
    if asked == "auto":
        method, why = _best(inner, parts, min(chunk_size or 1, runs), limit)
    else:
        method, why = requested(asked, inner, parts), "asked for"
    chunk = min(chunk_size or _side_by_side(method, inner, parts, runs, limit), runs)
    needed = chunk * method.bytes(inner, parts)
    if needed > limit:
        raise ValueError(
            f"{method.name}: needs about {_said(needed)} for {_runs(chunk)} of {inner.T} steps, but {_said(limit)} "
            f"may be taken; {_remedy(chunk)}, or another method"
        )
    at_once = "one run at a time" if chunk == 1 else f"{chunk} of {runs} runs side by side"
    return method, chunk, f"{method.name}: {why}" + (f"; {at_once}" if runs > 1 else "")


def requested(asked: str | Method, inner: Inner, parts: Parts) -> Method:
    """The method of that name. Raises ValueError for an unknown name, and with the method's reason to refuse."""
    method = METHODS.get(asked) if isinstance(asked, str) else asked
    if method is None:
        raise ValueError(f"method: {asked!r} is unknown; give one of auto, {', '.join(METHODS)}")
    if refused := method.refuses(inner, parts):
        raise ValueError(f"{method.name}: {refused}")
    return method


def _best(inner: Inner, parts: Parts, chunk: int, limit: int) -> tuple[Method, str]:
    """The first of WAYS that fits into the limit, and the reason. Raises ValueError if none does."""
    count = sum(part.numel() for part in parts.values())
    many = f"{count:,} hyperparameters are too many for forward mode"
    slow = many if count > FEW else "forward mode is slower"
    over: list[str] = []
    for name in WAYS:
        method = METHODS[name]
        if (name == Forward.name and count > FEW) or method.refuses(inner, parts):
            continue
        needed = chunk * method.bytes(inner, parts)
        if needed <= limit:
            reasons = [f"{_said(needed)} for {inner.T} steps fit in {_said(limit)}"]
            reasons += [f"{' and '.join(over)} would not"] if over else []
            reasons += [] if name == Forward.name else [slow]
            return method, "; ".join(reasons)
        over.append(f"{name} ({_said(needed)})")
    raise ValueError(
        f"method: nothing exact fits in {_said(limit)} for {_runs(chunk)} of {inner.T} steps: {', '.join(over)}; "
        f"{_remedy(chunk)}, fewer steps, or method='truncated'"
    )


def _side_by_side(method: Method, inner: Inner, parts: Parts, runs: int, limit: int) -> int:
    P = inner.problem.layout.P
    if runs == 1 or (inner.device.type == "cpu" and P > TINY):
        return 1
    # Unroll's estimate divided by T is what one step holds on to: activations, their gradients, the examples.
    work = AT_WORK * P * inner.dtype.itemsize + Unroll().bytes(inner, parts) // inner.T
    return max(1, limit // (method.bytes(inner, parts) + work))


def _runs(count: int) -> str:
    return "one run" if count == 1 else f"{count} runs side by side"


def _remedy(chunk: int) -> str:
    return f"give {'a smaller chunk_size or ' if chunk > 1 else ''}a larger memory_limit="


def _said(size: float) -> str:
    """1234567 -> 1.2 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
