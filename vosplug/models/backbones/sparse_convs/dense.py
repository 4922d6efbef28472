"""Dense convolutions on the compiled kernels."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

import torch
from torch import Tensor, nn

from ....registry import SPARSE_CONVS
from ...frame_run import current_run, is_training
from ...layers.build import is_plain, is_watched
from .executors import PackedConv, WeightCache, channels_last, working_type

NO_NORM = nn.Identity()
NARROW_IN, NARROW_OUT = 32, 64  # pointwise layers of fewer channels are as fast in oneDNN (docs/benchmarks.md)
PACKED_TYPES = (torch.float32, torch.bfloat16)

_prepared: ContextVar[bool] = ContextVar("prepared_inference", default=False)


@SPARSE_CONVS.register_module(examples=[dict()])
class DenseConv(nn.Conv2d):
    """``nn.Conv2d`` that runs on packed weights in inference; results agree to rounding.

    Only layers of which the compiled kernels are faster than the library's do so: 3x3 convolutions that have a Winograd
    form (stride 1, enough channels), and pointwise ones with enough channels. A norm that is fixed, a ReLU and a
    shortcut become a part of the convolution.

    One that was built as such does it within every frame loop, one that :func:`use_packed_kernels` made of a plain
    convolution within :func:`prepared_inference`.

    Args:
        *args, **options: of ``nn.Conv2d``.
    """

    computes_densely = True  # elsewhere it is a plain convolution
    always = False

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        import_module("vosplug.ops")
        self._packed = WeightCache()
        self.always = True

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        packed = self.kernel(x, NO_NORM, relu=False)
        return super().forward(x) if packed is None else packed.everywhere(x.to(packed.dtype))

    def fused(self, x: Tensor, norm: nn.Module, relu: bool, shortcut: Tensor | None = None) -> Tensor | None:
        """``relu(norm(conv(x)) + shortcut)`` in one step; None where that is not possible, or not faster."""
        if not PackedConv.possible(norm) or is_watched(self) or is_watched(norm):
            return None
        packed = self.kernel(x, norm, relu)
        if packed is None:
            return None
        if shortcut is not None:
            shortcut = channels_last(shortcut.to(packed.dtype))
        return packed.everywhere(x.to(packed.dtype), shortcut=shortcut)

    def kernel(self, x: Tensor, norm: nn.Module, relu: bool) -> PackedConv | None:
        """The packed form for inputs like ``x``; None where the library's convolution is to run."""
        if torch.compiler.is_compiling():
            return None
        wanted = _prepared.get() or (self.always and current_run() is not None)
        if not wanted or self.training or torch.is_grad_enabled() or is_training(self):
            return None
        if x.device.type != "cpu" or working_type(x) not in PACKED_TYPES or not self.may_win:
            return None
        return self._packed.of(self, x, norm, relu, always_dense=True)

    @property
    def may_win(self) -> bool:
        """Whether the compiled kernels are faster than the library's convolution."""
        ops = import_module("vosplug.ops")
        if not ops.has_extension() or not is_plain(self) or self.groups > 1 or self.stride != (1, 1):
            return False
        if self.kernel_size == (1, 1) and self.padding == (0, 0):
            return not self.always and self.in_channels >= NARROW_IN and self.out_channels >= NARROW_OUT
        return ops.has_winograd(self.weight, self.stride, self.dilation, self.groups)

    def train(self, mode: bool = True) -> "DenseConv":
        """Forget packed weights: they may change now without being noticed."""
        self._packed.conv = None
        return super().train(mode)


@contextmanager
def prepared_inference(wanted: bool = True) -> Iterator[None]:
    """Inside, convolutions that :func:`use_packed_kernels` has seen run on packed weights (``wanted``)."""
    token = _prepared.set(wanted)
    try:
        yield
    finally:
        _prepared.reset(token)


def use_packed_kernels(model: nn.Module) -> None:
    """Let all plain convolutions of a model run on packed weights where that is faster, in :func:`prepared_inference`.

    Modules, parameters and names stay, and so does what the model does in training and elsewhere. Packed weights are
    made at first use, held beside the model for all of its sessions, made anew when weights change, and neither saved
    nor copied.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and is_plain(module):
            module.__class__ = DenseConv
            module._packed = WeightCache()
