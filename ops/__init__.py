"""Operators of vosplug: compiled for the CPU where the extension is built, PyTorch code elsewhere (see docs/ops.md).

Import them as ``vosplug.ops``: in a clone, too, where they lie in ``ops/``.
"""

if __name__ != "vosplug.ops":
    raise ImportError(f"the operators are the package vosplug.ops, not {__name__}: import that")

from .deformable_attention import *  # noqa: F403
from .deformable_attention import __all__ as _deformable_attention
from .library import has_extension, isa
from .sparse_attention import *  # noqa: F403
from .sparse_attention import __all__ as _sparse_attention
from .sparse_conv import *  # noqa: F403
from .sparse_conv import __all__ as _sparse_conv

__all__ = ["has_extension", "isa", *_deformable_attention, *_sparse_attention, *_sparse_conv]
