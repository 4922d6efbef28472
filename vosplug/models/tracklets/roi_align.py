"""RoIAlign over the levels of a pyramid."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...registry import ROI_EXTRACTORS
from ...utils.errors import ConfigError
from ..layers.aggregate import full_precision
from ..layers.row_sums import sum_rows
from .boxes import area


def roi_align(features: Tensor, rois: Tensor, size: int, scale: float, sampling_ratio: int) -> Tensor:
    """RoIAlign (He et al., Mask R-CNN, 2017) with pixel centres at half coordinates; at least in float32.

    Each cell of a RoI is the mean of some samples, and each sample is bilinear: a weighted sum of pixels of the map,
    see :func:`~..layers.row_sums.sum_rows`. Equal to ``roi_align`` of torchvision and of mmcv
    (``aligned=True``), neither of which is needed.

    Args:
        features: (F, C, h, w).
        rois: (R, 5): index of the map, then x1, y1, x2, y2 in pixels of the frame; x2 < x1 or y2 < y1 counts as empty.
            No gradient comes back to them.
        size: S, cells per side.
        scale: pixels of the map per pixel of the frame.
        sampling_ratio: samples per cell and side; 0 takes as many as the cell has pixels.

    Returns:
        (R, C, S, S) in the type of ``features``.
    """
    channels, height, width = features.shape[1:]
    x = full_precision(features)
    rois = rois.detach().to(x.dtype)
    first, last = rois[:, 1:3] * scale - 0.5, rois[:, 3:] * scale - 0.5
    sides = (last - first).clamp(min=0)
    column, x_share = taps(first[:, 0], sides[:, 0], size, sampling_ratio, width)
    row, y_share = taps(first[:, 1], sides[:, 1], size, sampling_ratio, height)
    start = rois[:, 0].long()[:, None, None] * height
    place = (start + row)[:, :, None, :, None] * width + column[:, None, :, None, :]  # (R, S, S, taps of y, of x)
    share = y_share[:, :, None, :, None] * x_share[:, None, :, None, :]
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
    with torch.autocast(features.device.type, enabled=False):
        out = sum_rows(pixels, place.flatten(3).flatten(0, 2), share.flatten(3).flatten(0, 2))
    return out.unflatten(0, (-1, size, size)).permute(0, 3, 1, 2).contiguous().to(features.dtype)


def taps(start: Tensor, side: Tensor, cells: int, sampling_ratio: int, limit: int) -> tuple[Tensor, Tensor]:
    """Along one side: which pixels the samples of each cell are made of, and their shares of the mean.

    Args:
        start, side: (R,) where each RoI begins and how long it is, in pixels of the map.
        cells: S.
        sampling_ratio: samples per cell; 0 for as many as it has pixels.
        limit: pixels of the map.

    Returns:
        (R, S, K) int64 and (R, S, K): two pixels for each sample. One that lies more than a pixel outside has no share.
    """
    cell = side / cells
    count = torch.full_like(cell, sampling_ratio) if sampling_ratio else cell.ceil()
    most = sampling_ratio or max(1, int(count.max())) if len(cell) else 1
    sample = torch.arange(most, device=cell.device, dtype=cell.dtype)
    within = (sample + 0.5) / count.clamp(min=1)[:, None]  # (R, samples): in cells
    number = torch.arange(cells, device=cell.device, dtype=cell.dtype)[:, None]
    at = start[:, None, None] + (number + within[:, None]) * cell[:, None, None]  # (R, S, samples)
    counts = (sample < count[:, None])[:, None] & (at >= -1) & (at <= limit)
    at = at.clamp(0, limit - 1)
    low = at.floor()
    upper = at - low
    both = torch.stack([1 - upper, upper], dim=-1) * (counts / count.clamp(min=1)[:, None, None])[..., None]
    place = torch.stack([low, (low + 1).clamp(max=limit - 1)], dim=-1).long()
    return place.flatten(2), both.flatten(2)


@ROI_EXTRACTORS.register_module(examples=[dict(), dict(rois_per_chunk=3), dict(sampling_ratio=0, finest_scale=8)])
class PyramidRoIAlign(nn.Module):
    """Crop every box from the level that fits its size (Lin et al., 2017), RoIAlign with a fixed output size.

    Args:
        strides: of the levels, finest first.
        size: S, cells per side of what comes out.
        sampling_ratio: samples per cell and side.
        finest_scale: boxes of less than twice this size (pixels) go to the finest level.
        rois_per_chunk: RoIs that are cropped at a time; None crops all at once.
    """

    def __init__(self, strides: Sequence[int], size: int = 7, sampling_ratio: int = 2, finest_scale: float = 56,
                 rois_per_chunk: int | None = None):
        super().__init__()
        if rois_per_chunk is not None and rois_per_chunk < 1:
            raise ConfigError(f"PyramidRoIAlign.rois_per_chunk must be at least 1 or None, got {rois_per_chunk}")
        self.strides, self.size, self.sampling_ratio = tuple(strides), size, sampling_ratio
        self.finest_scale, self.rois_per_chunk = finest_scale, rois_per_chunk

    def levels(self, boxes: Tensor) -> Tensor:
        """(R, 4) -> (R,) index of the level of each box."""
        levels = torch.floor(torch.log2(area(boxes).sqrt() / self.finest_scale + 1e-6))
        return levels.clamp(0, len(self.strides) - 1).long()

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Crop ``boxes`` (F, N, 4) from F frames, given by level as (F, C, h, w) -> (F, N, C, S, S)."""
        frames, count = boxes.shape[:2]
        index = torch.arange(frames, device=boxes.device, dtype=torch.float32).repeat_interleave(count)
        rois = torch.cat([index[:, None], boxes.float().flatten(0, 1)], dim=1)
        step = self.rois_per_chunk or max(1, len(rois))
        parts = [self._crop(features, rois[i : i + step]) for i in range(0, len(rois), step)]
        crops = torch.cat(parts) if parts else features[0].new_zeros(0, features[0].shape[1], self.size, self.size)
        return crops.unflatten(0, (frames, count))

    def _crop(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        levels = self.levels(rois[:, 1:])
        order, crops = [], []
        for level, (x, stride) in enumerate(zip(features, self.strides, strict=True)):
            chosen = (levels == level).nonzero()[:, 0]
            # An empty level is cropped too: so its weights always get a gradient, which several processes rely on.
            crops.append(roi_align(x, rois[chosen], self.size, 1 / stride, self.sampling_ratio) if len(chosen)
                         else x[:0, :, :1, :1].expand(0, -1, self.size, self.size))
            order.append(chosen)
        return torch.cat(crops)[torch.cat(order).argsort()]
