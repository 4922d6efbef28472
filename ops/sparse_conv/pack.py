"""Weights in the order in which the kernels read them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..library import has_extension


@dataclass(frozen=True)
class PackedWeights:
    """Weights of one convolution for the compiled CPU kernels.

    Attributes:
        weight: float32, or bfloat16 in pairs; ``[group][panel][tap][input channel][panel width]``. Empty where only the
            Winograd form is kept (:meth:`only_winograd`).
        bias: float32, padded to whole panels; zeros where the layer has none.
        winograd: transformed weights ``[panel][frequency][input channel][panel width]``, or None where the layer is
            not 3x3 with stride and dilation 1, one group, input channels a multiple of 16 and whole panels.
        depthwise: whether ``weight`` is ``[tap][channel]`` for one channel per group.
    """

    weight: Tensor
    bias: Tensor
    winograd: Tensor | None
    depthwise: bool

    def only_winograd(self) -> "PackedWeights":
        """Return these weights without their direct form, for layers that compute all sites of every frame.

        Raises:
            ValueError: there is no Winograd form.
        """
        if self.winograd is None:
            raise ValueError("only_winograd: these weights have no Winograd form")
        return replace(self, weight=self.weight.new_empty(0))


RELU, DEPTHWISE, COMPACT = 1, 16, 32  # flags of a plan


def plan_of(
    weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int, flags: int
) -> Tensor:
    """Return what the kernels have to know of a layer of this ``weight`` (C_out, C_in/groups, kh, kw): int64 (12,).

    That is kernel, stride, padding and dilation (vertical and horizontal), groups, C_in, C_out and flags.
    """
    out_channels, group_in, *kernel = weight.shape
    return _plan(*kernel, *stride, *padding, *dilation, groups, group_in * groups, out_channels, flags)


@lru_cache(maxsize=4096)
def _plan(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")


def pack_weights(
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    dtype: torch.dtype,
) -> PackedWeights:
    """Pack ``weight`` (C_out, C_in/groups, kh, kw) and ``bias`` (C_out) for inputs of ``dtype``.

    Weights are rounded to ``dtype`` first, as the dense convolution would; float16 is then computed in float32.

    Raises:
        RuntimeError: the extension is not there.
    """
    if not has_extension():
        raise RuntimeError("pack_weights: weights are packed for the compiled kernels, which are not installed")
    panel = torch.ops.vosplug_cpu.conv_panel()
    weight = weight.detach().to(dtype)
    out_channels, group_in, kh, kw = weight.shape
    group_out = out_channels // groups
    flat = torch.zeros(out_channels) if bias is None else bias.detach().to(dtype).float().cpu()
    if group_in == 1 and group_out == 1 and groups > 1:
        taps_first = weight.float().reshape(out_channels, kh * kw).t().contiguous()
        return PackedWeights(weight=taps_first, bias=flat.contiguous(), winograd=None, depthwise=True)
    pairs = dtype is torch.bfloat16 and torch.ops.vosplug_cpu.conv_dot_bf16()
    panels = -(-group_out // panel)
    missing = panels * panel - group_out
    padded = F.pad(weight.float().reshape(groups, group_out, group_in, kh * kw), (0, 0, 0, 0, 0, missing))
    padded_bias = F.pad(flat.reshape(groups, group_out), (0, missing)).reshape(-1).contiguous()
    ordered = padded.reshape(groups, panels, panel, group_in, kh * kw).permute(0, 1, 4, 3, 2)
    winograd = None
    if has_winograd(weight, stride, dilation, groups):
        winograd = _winograd_panels(weight, panel, pairs)
    return PackedWeights(
        weight=_in_pairs(ordered) if pairs else ordered.contiguous(),
        bias=padded_bias,
        winograd=winograd,
        depthwise=False,
    )


def has_winograd(weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int) -> bool:
    """Whether a layer of this ``weight`` (C_out, C_in/groups, kh, kw) has a Winograd form in the extension."""
    out_channels, in_channels, *kernel = weight.shape
    if groups != 1 or kernel != [3, 3] or tuple(stride) != (1, 1) or tuple(dilation) != (1, 1):
        return False
    return in_channels % 16 == 0 and out_channels % torch.ops.vosplug_cpu.conv_panel() == 0


def _winograd_panels(weight: Tensor, panel: int, pairs: bool) -> Tensor:
    """Transformed weights, made panel by panel: in float64 all at once would take many times their memory."""
    out = None
    parts = weight.split(panel)
    for number, part in enumerate(parts):
        transformed = _winograd(_winograd(part.double(), 2), 3).float()
        transformed = transformed.reshape(panel, weight.shape[1], 16).permute(2, 1, 0)
        transformed = _in_pairs(transformed) if pairs else transformed
        if out is None:
            out = transformed.new_empty(len(parts), *transformed.shape)
        out[number] = transformed
    return out


def _winograd(weight: Tensor, dim: int) -> Tensor:
    """Three taps -> four frequencies along ``dim``: G of Winograd F(2x2, 3x3) (Lavin & Gray 2016, section 4.1).

    Sums, not a product with G: those who count multiply-accumulates must not find it among those of a frame.
    """
    first, middle, last = weight.unbind(dim)
    ends = first + last
    return torch.stack((first, (ends + middle) / 2, (ends - middle) / 2, last), dim)


def _in_pairs(weight: Tensor) -> Tensor:
    """(..., C_in, panel) -> bfloat16 (..., C_in/2, panel, 2), with an odd number of channels padded by a zero."""
    weight = F.pad(weight, (0, 0, 0, weight.shape[-2] % 2))
    *rest, channels, panel = weight.shape
    return weight.reshape(*rest, channels // 2, 2, panel).transpose(-1, -2).contiguous().to(torch.bfloat16)
