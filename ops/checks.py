"""Checks of arguments that the operators share. Every message names the argument, what came and what was expected."""

from collections.abc import Sequence

import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def pair(value: int | Sequence[int], name: str, least: int) -> list[int]:
    """Return ``value`` as [vertical, horizontal]; both at least ``least``."""
    values = [value, value] if isinstance(value, int) else list(value)
    if len(values) != 2 or any(not isinstance(v, int) or v < least for v in values):
        raise ValueError(f"{name}: expected a whole number of at least {least} or a pair of them, got {value!r}")
    return values


def tensor(value: Tensor, name: str, dims: int, like: Tensor | None = None) -> None:
    """Raise unless ``value`` is a float tensor of ``dims`` dimensions, of the dtype and device of ``like``."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: expected a tensor, got {type(value).__name__}")
    if value.dim() != dims:
        raise ValueError(f"{name}: expected {dims} dimensions, got shape {tuple(value.shape)}")
    if value.dtype not in FLOATS:
        raise ValueError(f"{name}: expected a floating-point dtype, got {value.dtype}")
    if like is not None and value.dtype != like.dtype:
        raise ValueError(f"{name}: expected the dtype {like.dtype} of the input, got {value.dtype}")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name}: expected the device {like.device} of the input, got {value.device}")


def shape(value: Tensor, name: str, expected: Sequence[int], meaning: str) -> None:
    """Raise unless ``value`` has the shape ``expected``; ``meaning`` spells it, ``(B, C, H, W)`` for example."""
    if tuple(value.shape) != tuple(expected):
        raise ValueError(f"{name}: expected shape {meaning} = {tuple(expected)}, got {tuple(value.shape)}")


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """Return the dtype that autocast asks for on this kind of device, or None where it is off."""
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
