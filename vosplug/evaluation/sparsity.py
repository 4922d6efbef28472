"""Sparse convolutions of a model, and where they computed."""

from collections.abc import Iterable

import torch
from torch import nn

from ..models.backbones.sparse_convs import SparseConv
from ..structures import Work


def sparse_layers(model: nn.Module) -> list[SparseConv]:
    """All sparse convolutions of a model."""
    return [module for module in model.modules() if isinstance(module, SparseConv)]


def spatial_map(work: Iterable[Work], size: tuple[int, int], prefix: str = "") -> torch.Tensor:
    """Share of the layers that computed each location (Fig. 6), (H, W) float32; per-object layers count their mean.

    Args:
        work: of one frame.
        size: (H, W) of the map; policies are resized to it by nearest neighbour.
        prefix: only layers whose names begin so.
    """
    maps = [torch.nn.functional.interpolate((w.policy == 2).float().mean(dim=0)[None, None].cpu(), size=size)[0, 0]
            for w in work if w.policy is not None and w.layer.startswith(prefix)]
    return torch.stack(maps).mean(dim=0) if maps else torch.zeros(size)
