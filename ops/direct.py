"""Calls past torch's dispatcher, which on cold caches takes a good part of a small layer's time (docs/ops.md)."""

import functools
import importlib.machinery
import importlib.util
from types import ModuleType

import torch

from .library import MODE_STACKS, extension


@functools.cache
def direct_calls() -> ModuleType | None:
    """Return the extension as a Python module with ``layer``, ``update`` and ``bottleneck``, or None.

    None: the extension is not there, or this torch does not hand out tensors by DLPack's exchange interface.
    """
    path = extension()
    if path is None:
        return None
    try:
        capsule = torch.Tensor.__dlpack_c_exchange_api__
        # Where any of these returns something true, somebody has to see the operators (as with gradients, which the
        # extension asks for itself).
        watchers = (*MODE_STACKS, torch._C._autograd._profiler_enabled)
    except AttributeError:
        return None
    loader = importlib.machinery.ExtensionFileLoader("_C", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_C", loader))
    return module if module.connect(capsule, torch.Tensor, watchers) else None
