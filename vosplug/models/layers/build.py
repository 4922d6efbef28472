"""Norms from short configs, and convolution, norm and ReLU as one step."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.data_configs import NORMS
from ...utils.errors import ConfigError, did_you_mean
from .aggregate import full_precision


def conv_norm_relu(conv: nn.Module, norm: nn.Module, x: Tensor, relu: bool = True,
                   shortcut: Tensor | None = None) -> Tensor:
    """``relu(norm(conv(x)) + shortcut)``, in one step by convolutions that offer it (``fused``).

    The result may be a buffer that the next frame overwrites: callers neither keep it nor write to it.
    """
    fused = getattr(conv, "fused", None)
    out = None if fused is None else fused(x, norm, relu, shortcut)
    if out is None:
        out = conv_norm(conv, norm, x)
        out = add_and_activate(out, shortcut, relu, overwrite=is_plain(conv))  # sparse convolutions keep theirs
    return out


def conv_norm(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(conv(x))``; in evaluation, a norm that is fixed is folded into the weight of a plain convolution.

    Folding costs a product with the weight, which is small, instead of a pass over the output, which is not. It rounds
    differently, so float64, in which implementations are compared, is computed as written; so is what gradients need.
    """
    written = torch.is_grad_enabled() or conv.training or conv.weight.dtype == torch.float64
    if written or not is_plain(conv) or not is_fixed(norm) or is_watched(conv) or is_watched(norm):
        return norm(conv(x))
    scale = (full_precision(norm.running_var) + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -norm.running_mean * scale if conv.bias is None else (conv.bias - norm.running_mean) * scale
    shift = shift if norm.bias is None else shift + norm.bias
    weight = (conv.weight * scale[:, None, None, None]).to(conv.weight.dtype)
    return F.conv2d(x, weight, shift.to(weight.dtype), conv.stride, conv.padding, conv.dilation, conv.groups)


def is_plain(conv: nn.Module) -> bool:
    """Whether a module is torch's own convolution with zeros around the map, whatever kernel it runs on."""
    plain = type(conv) is nn.Conv2d or getattr(conv, "computes_densely", False)
    return plain and conv.padding_mode == "zeros"


def is_watched(module: nn.Module) -> bool:
    """Whether somebody wants to be called when a module runs."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def is_fixed(norm: nn.Module) -> bool:
    """Whether a norm is the same scale and shift of each channel for every input."""
    if isinstance(norm, nn.BatchNorm2d):
        return not norm.training and norm.running_mean is not None
    return isinstance(norm, FrozenBN)


def add_and_activate(out: Tensor, shortcut: Tensor | None, relu: bool, overwrite: bool = False) -> Tensor:
    """``relu(out + shortcut)``; without gradients both may take place in ``out`` if ``overwrite``."""
    if shortcut is not None:
        in_place = overwrite and not torch.is_grad_enabled() and out.dtype == shortcut.dtype
        out, overwrite = out.add_(shortcut) if in_place else out + shortcut, True
    return F.relu(out, inplace=overwrite) if relu else out


class FrozenBN(nn.Module):
    """Batch norm of fixed statistics, scale and shift: four buffers, no parameter, no counter.

    Args:
        channels: of the input.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def build_norm(norm: dict | None, channels: int) -> nn.Module:
    """Build a norm over ``channels``.

    Args:
        norm: ``dict(type='BN')``, ``dict(type='FrozenBN')`` (:class:`FrozenBN`), ``dict(type='GN',
            channels_per_group=16)`` or ``dict(type='GN', groups=32)`` (fewer groups where so many do not divide
            ``channels``), or None / ``dict(type='none')`` for none.
    """
    if norm is None or norm["type"] == "none":
        return nn.Identity()
    options = dict(norm)
    kind = options.pop("type")
    if kind == "BN":
        check_norm_options(kind, options, ("eps", "momentum", "affine", "track_running_stats"))
        return nn.BatchNorm2d(channels, **options)
    if kind == "FrozenBN":
        check_norm_options(kind, options, ("eps",))
        return FrozenBN(channels, **options)
    if kind == "GN":
        check_norm_options(kind, options, ("channels_per_group", "groups", "eps", "affine"))
        groups, per_group = options.pop("groups", None), options.pop("channels_per_group", None)
        if groups is not None and per_group is not None:
            raise ConfigError("the norm GN takes groups or channels_per_group, not both: leave one out")
        groups = max(1, channels // (per_group or 16)) if groups is None else groups
        while channels % groups:
            groups -= 1
        return nn.GroupNorm(groups, channels, **options)
    raise ConfigError(f"unknown norm {kind!r}.{did_you_mean(kind, NORMS)} Known: {', '.join(NORMS)}.")


def check_norm_options(kind: str, options: dict, known: tuple[str, ...]) -> None:
    """Raise :class:`ConfigError` for an option that a norm does not take."""
    for name in options:
        if name not in known:
            raise ConfigError(f"the norm {kind} has no option {name!r}.{did_you_mean(name, known)} "
                              f"Its options: {', '.join(known)}.")
