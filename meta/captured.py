"""What a function holds on to beside its arguments: the modules and tensors of its closure, defaults and globals.

Used to say by name what makes a loss impure. What can't be found this way still shows by its values.
"""

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

DEPTH = 6  # functions within functions: network() within a wrapper within a wrapper is three
MANY = 100  # entries of a container that are looked at: a list of all examples would take longer than a step
COPIED = 2**20  # entries of a tensor that is compared by value; of a larger one the version counter is


@dataclass(frozen=True, eq=False)
class Captured:
    """Modules and tensors by the names under which functions hold them."""

    modules: dict[str, nn.Module]
    tensors: dict[str, Tensor]  # those of the modules' parameters and buffers included

    @property
    def training(self) -> tuple[bool, ...]:
        """The mode of every module and of those within it."""
        return tuple(one.training for module in self.modules.values() for one in module.modules())

    def culprits(self) -> dict[str, str]:
        """The modules whose output is not a function of their input, and what to do about each kind."""
        found = {}
        for module in self.modules.values():
            for name, one in module.named_modules():
                kind = type(one).__name__
                if isinstance(one, _DropoutNd) and one.training and one.p > 0:
                    found[f"{name or 'module'} ({kind})"] = _DROPOUT
                if isinstance(one, _NormBase) and one.training and one.track_running_stats:
                    found[f"{name or 'module'} ({kind})"] = _STATISTICS
        return found

    def marks(self) -> dict[str, tuple[Any, ...]]:
        """Of each tensor what changes when it is written to, see `changed`."""
        return {name: _mark(tensor) for name, tensor in self.tensors.items()}

    def changed(self, marks: Mapping[str, tuple[Any, ...]]) -> list[str]:
        """The names of the tensors that were written to since `marks` was taken."""
        return sorted(name for name, tensor in self.tensors.items() if not _same(marks[name], _mark(tensor)))


_DROPOUT = (
    "draw the mask in `batch`, from generator_at(seed, t) of meta.batches, or make the problem by of_module"
)
_STATISTICS = "give track_running_stats=False: running statistics are state that a way back does not undo"


def captured(functions: Iterable[Callable[..., Any]]) -> Captured:
    """Walks through closures, defaults, partials, bound objects and the globals that functions name."""
    modules: dict[str, nn.Module] = {}
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any, int]] = [("", function, 0) for function in functions]
    while waiting:
        name, value, depth = waiting.pop()
        if id(value) in seen or depth > DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            modules.setdefault(name, value)
            for kind in (value.named_parameters(), value.named_buffers()):
                tensors |= {f"{name}.{its}": one for its, one in kind}
        elif isinstance(value, Tensor):
            tensors.setdefault(name, value)
        else:
            waiting += [(its or name, one, depth + 1) for its, one in _within(value)]
    return Captured(modules, tensors)


def _within(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, partial):
        yield from (("", one) for one in (value.func, *value.args))
        yield from value.keywords.items()
    elif isinstance(value, types.MethodType):
        yield from (("", value.__func__), ("", value.__self__))
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # not yet assigned
                continue
        yield from (("", one) for one in value.__defaults__ or ())
        yield from (value.__kwdefaults__ or {}).items()
        for name in _names(value.__code__):
            one = value.__globals__.get(name)
            if isinstance(one, nn.Module | Tensor) or _of_the_same_file(one, value):
                yield name, one
    elif isinstance(value, dict):
        yield from ((str(key), one) for key, one in list(value.items())[:MANY])
    elif isinstance(value, list | tuple):
        yield from (("", one) for one in value[:MANY])
    elif hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType):
        yield from vars(value).items()


def _names(code: types.CodeType) -> list[str]:
    """The globals that a function names, in functions within it as well."""
    inner = [name for one in code.co_consts if isinstance(one, types.CodeType) for name in _names(one)]
    return [*code.co_names, *inner]


def _of_the_same_file(one: Any, function: types.FunctionType) -> bool:
    return isinstance(one, types.FunctionType) and one.__module__ == function.__module__


def _mark(tensor: Tensor) -> tuple[Any, ...]:
    # Batch norm writes to running statistics without counting a version, so that small tensors are compared.
    version = 0 if tensor.is_inference() else tensor._version
    return version, tensor.detach().clone() if tensor.numel() <= COPIED else None


def _same(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    (version, old), (version_, new) = before, after
    return version == version_ and (old is None or same_bits(old, new))


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal entry for entry; not-a-number equals itself."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return (
        bool(torch.where(a.isnan(), b.isnan(), a == b).all()) if a.is_floating_point() else torch.equal(a, b)
    )
