"""Sizes of maps and labels, as CFBI and SST do."""

import torch
import torch.nn.functional as F
from torch import Tensor


def half_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h // 2 + 1, w // 2 + 1)."""
    return size[0] // 2 + 1, size[1] // 2 + 1


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) at ``size``, bilinear with aligned corners."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def halved(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, h // 2 + 1, w // 2 + 1), bilinear with aligned corners."""
    return resized(x, half_size(x.shape[-2:]))


def nearest_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Whole numbers (B, h, w) at ``size``: cell i takes cell floor(i in / out)."""
    rows, columns = (torch.arange(wanted, device=labels.device) * given // wanted
                     for given, wanted in zip(labels.shape[-2:], size, strict=True))
    return labels[:, rows[:, None], columns]


def halved_labels(labels: Tensor) -> Tensor:
    """Whole numbers (B, h, w) -> (B, h // 2 + 1, w // 2 + 1), by nearest neighbour."""
    return nearest_labels(labels, half_size(labels.shape[-2:]))
