"""A GPU that isn't there: tensors say that they are on cuda:0, and those of two devices do not mix.

PyTorch's FakeTensorMode is made for this, but the CPU build refuses even a fake CUDA tensor where C++ sets the
current device: in `x[i]`, `x.to("cuda")` and every backward. Here the numbers are real and lie on the CPU; only
Python is told otherwise. So branches for a GPU are taken, numbers can be read, and an operation on tensors of both
devices raises, as on CUDA. It shows nothing of speed, of autocast, or of the Triton kernel.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
# These bring tensors of two devices together on purpose.
CROSSING = (Tensor.to, Tensor.cpu, Tensor.copy_, torch._has_compatible_shallow_copy_type)


class OnGPU(Tensor):
    """A tensor of the CPU that says it is on cuda:0, to everybody but PyTorch's own operations."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU if torch._C._is_torch_function_enabled() else CPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return self.device == GPU

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        memo[id(self)] = copied = self.detach().clone().requires_grad_(self.requires_grad)
        return copied


class Pretended(TorchFunctionMode):
    """Keeps account of which tensors are on the GPU, and lets no operation mix them with others."""

    backward = False  # autograd hands plain tensors to what it calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.backward:
            self.backward = True
            try:
                return self._plainly(func, args, kwargs)
            finally:
                self.backward = False
        if func is Tensor.numpy and isinstance(args[0], OnGPU):
            raise TypeError("can't convert a tensor of cuda:0 to numpy; use Tensor.cpu() first")
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        ours = [x for x in tensors if isinstance(x, OnGPU)]
        if ours and func not in CROSSING and not self.backward:
            self._check(func, tensors)
        target = _target(func, args, kwargs)
        if target == GPU:
            args, kwargs = tree_map_only(torch.device, _real, (args, kwargs))
            args = tuple("cpu" if isinstance(x, str) and x.startswith("cuda") else x for x in args)
            if "device" in kwargs:
                kwargs = {**kwargs, "device": CPU}
        out = self._plainly(func, args, kwargs)
        if target is None:
            return tree_map_only(Tensor, _on_gpu, out) if ours else out
        if isinstance(out, Tensor) and isinstance(out, OnGPU) != (target == GPU):
            with torch._C.DisableTorchFunctionSubclass():
                return out.clone().as_subclass(OnGPU if target == GPU else Tensor)
        return out

    @staticmethod
    def _plainly(func: Any, args: Any, kwargs: Any) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @staticmethod
    def _check(func: Any, tensors: list[Tensor]) -> None:
        """CUDA takes lone numbers of the CPU along, and nothing else."""
        astray = [x for x in tensors if not isinstance(x, OnGPU) and x.dim() > 0]
        if astray:
            name = getattr(func, "__name__", str(func))
            shapes = [tuple(x.shape) for x in astray]
            raise RuntimeError(f"{name}: all tensors must be on one device, but some are on cpu: {shapes}")


def _on_gpu(x: Tensor) -> Tensor:
    if isinstance(x, OnGPU):
        return x
    with torch._C.DisableTorchFunctionSubclass():
        return x.as_subclass(OnGPU)


def _real(device: torch.device) -> torch.device:
    return CPU if device.type == "cuda" else device


def _target(func: Any, args: Any, kwargs: Any) -> torch.device | None:
    """The device that the call names, if it names one."""
    if func is Tensor.cpu:
        return CPU
    named = kwargs.get("device")
    if named is None and func is Tensor.to:
        where = args[1] if len(args) > 1 else None
        if isinstance(where, Tensor):
            return GPU if isinstance(where, OnGPU) else CPU
        named = where if isinstance(where, str | torch.device) else None
    if named is None:
        return None
    device = torch.device(named)
    return GPU if device.type == "cuda" else device


class Event:
    """In place of torch.cuda.Event, whose constructor asks the driver."""

    def __init__(self, blocking: bool = False) -> None: ...

    def record(self) -> None: ...

    def synchronize(self) -> None: ...


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Inside, `device="cuda"` works. What asks the driver (streams, events, graphs) is replaced by nothing."""
    stream = SimpleNamespace(wait_stream=lambda _: None)
    cuda = {
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_: True,
        "is_current_stream_capturing": lambda: False,
        "get_device_name": lambda *_: "NVIDIA H100 80GB HBM3",
        "get_device_capability": lambda *_: (9, 0),
        "device": lambda _: nullcontext(),
        "stream": lambda _: nullcontext(),
        "graph": lambda *_, **__: nullcontext(),  # a capture takes a step, and a replay takes none
        "Stream": lambda *_: stream,
        "current_stream": lambda: stream,
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
        "synchronize": lambda: None,
        "Event": Event,
    }
    overwriting = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        for name, pretended in cuda.items():
            patch.setattr(torch.cuda, name, pretended)
        # Or `model.to` would put the new numbers into the old parameters, which say that they are on the CPU.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with Pretended():
                yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwriting)


def plain(x: Any) -> Any:
    """The same state with tensors that can be saved: a pretended one has a type that no file may name."""
    return tree_map_only(OnGPU, lambda tensor: tensor.cpu(), x)
