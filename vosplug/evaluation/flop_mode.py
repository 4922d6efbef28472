"""Counting floating-point operations at little cost, so that videos can be counted frame by frame while they are timed.
"""

import functools
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopMode(TorchDispatchMode):
    """Adds up the FLOPs of all operators inside, by the formulas that torch and ``vosplug.ops`` have registered.

    It gives the total of :class:`torch.utils.flop_counter.FlopCounterMode`, which also follows modules, and which looks
    for a decomposition of every operator at every call.

    Attributes:
        flops: counted so far.
    """

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator and count it."""
        kwargs = kwargs or {}
        formula = flop_registry.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            result = func(*args, **kwargs)
            self.flops += formula(*args, **kwargs, out_val=result)
            return result
        if is_composite(func):  # what it is made of has formulas
            with self:
                return func.decompose(*args, **kwargs)
        return func(*args, **kwargs)


@functools.cache
def is_composite(func: Any) -> bool:
    """Whether an operator is only a name for several others."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return isinstance(func, torch._ops.OpOverload) and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)
