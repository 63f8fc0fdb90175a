"""Triton kernels where there are any. Their modules are imported when first needed, for Triton takes a second."""

import functools
import importlib
import warnings
from types import ModuleType


@functools.cache
def kernels(module: str) -> ModuleType | None:
    """The module of this name, or None with a warning where Triton is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        warnings.warn(
            f"{module} is not used on this GPU, and what replaces it is slower: {error}; install triton",
            stacklevel=2,
        )
        return None
