"""Building convolutions and norms from short configs."""

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import SPARSE_CONVS
from ...utils.errors import ConfigError, did_you_mean

NORMS = ("BN", "GN", "none")


def build_conv(conv: dict | None, in_channels: int, out_channels: int, kernel_size: int, **options) -> nn.Module:
    """Build a convolution: ``nn.Conv2d``, or a drop-in of kind ``sparse convolution`` named by ``conv['type']``."""
    if conv is None:
        return nn.Conv2d(in_channels, out_channels, kernel_size, **options)
    return SPARSE_CONVS.build(conv, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size,
                              **options)


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


def build_norm(norm: dict | None, channels: int) -> nn.Module:
    """Build a norm over ``channels``.

    Args:
        norm: ``dict(type='BN')``, ``dict(type='GN', channels_per_group=16)`` (a smaller group where 16 does not
            divide ``channels``), or None / ``dict(type='none')`` for none.
    """
    if norm is None or norm["type"] == "none":
        return nn.Identity()
    options = dict(norm)
    kind = options.pop("type")
    if kind == "BN":
        check_norm_options(kind, options, ("eps", "momentum", "affine", "track_running_stats"))
        return nn.BatchNorm2d(channels, **options)
    if kind == "GN":
        check_norm_options(kind, options, ("channels_per_group", "eps", "affine"))
        per_group = options.pop("channels_per_group", 16)
        groups = max(1, channels // per_group)
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
