"""RoIAlign over the levels of a pyramid."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...registry import ROI_EXTRACTORS
from ...utils.errors import ConfigError
from .boxes import area


def roi_align(features: Tensor, rois: Tensor, size: int, scale: float, sampling_ratio: int) -> Tensor:
    """mmcv's RoIAlign (pixel centres at half coordinates), computed in float32.

    Args:
        features: (F, C, h, w).
        rois: (R, 5): index of the map, then x1, y1, x2, y2 in pixels of the frame; x2 < x1 or y2 < y1 counts as empty.
        size: S, cells per side.
        scale: pixels of the map per pixel of the frame.
        sampling_ratio: samples per cell and side; 0 takes as many as the cell has pixels.

    Returns:
        (R, C, S, S) in the type of ``features``.

    Raises:
        ConfigError: mmcv's compiled operators are not installed.
    """
    try:
        from mmcv.ops import roi_align as compiled
    except ImportError as error:
        raise ConfigError("RoIAlign needs mmcv with compiled operators: pip install --no-build-isolation onedl-mmcv "
                          f"(python -m vosplug.env says what is missing: {error})") from error
    with torch.autocast(features.device.type, enabled=False):
        index, first, last = rois.float().split([1, 2, 2], dim=1)
        rois = torch.cat([index, first, torch.maximum(first, last)], dim=1)  # the operator aborts on a negative side
        # The operator reads the memory as it lies: channels-last features would be misread without an error.
        out = compiled(features.float().contiguous(), rois, (size, size), scale, sampling_ratio, "avg", True)
    return out.to(features.dtype)


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
