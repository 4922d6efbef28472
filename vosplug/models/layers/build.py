"""Norms from short configs, and convolution, norm and ReLU as one step."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.errors import ConfigError, did_you_mean

NORMS = ("BN", "FrozenBN", "GN", "none")


def conv_norm_relu(conv: nn.Module, norm: nn.Module, x: Tensor, relu: bool = True,
                   shortcut: Tensor | None = None) -> Tensor:
    """``relu(norm(conv(x)) + shortcut)``, in one step by convolutions that offer it (``fused``).

    The result may be a buffer that the next frame overwrites: callers neither keep it nor write to it.
    """
    fused = getattr(conv, "fused", None)
    out = None if fused is None else fused(x, norm, relu, shortcut)
    if out is None:
        out = add_and_activate(norm(conv(x)), shortcut, relu, overwrite=fused is None)  # sparse layers keep theirs
    return out


def add_and_activate(out: Tensor, shortcut: Tensor | None, relu: bool, overwrite: bool = False) -> Tensor:
    """``relu(out + shortcut)``; the activation may take place in ``out`` if ``overwrite``."""
    if shortcut is not None:
        out, overwrite = out + shortcut, True
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
