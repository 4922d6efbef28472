"""Boxes as (x1, y1, x2, y2) in pixels: decoding, overlap, and masks that live inside them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DELTA_STD = (0.5, 0.5, 1.0, 1.0)  # Sparse R-CNN's scale of the regression targets
MAX_LOG_RATIO = math.log(1000 / 16)


def apply_deltas(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Move (..., 4) boxes by (..., 4) regressed offsets (Girshick et al., 2014), scaled as in Sparse R-CNN."""
    dx, dy, dw, dh = (deltas * deltas.new_tensor(DELTA_STD)).unbind(-1)
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    x = (boxes[..., 0] + boxes[..., 2]) * 0.5 + width * dx
    y = (boxes[..., 1] + boxes[..., 3]) * 0.5 + height * dy
    half_w = width * dw.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() * 0.5
    half_h = height * dh.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() * 0.5
    return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def iou_and_giou(a: Tensor, b: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al., 2019) of boxes (..., 4) that broadcast against each other."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp(min=0).prod(dim=-1)
    union = (area(a) + area(b) - common).clamp(min=eps)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).clamp(min=0).prod(dim=-1).clamp(min=eps)
    iou = common / union
    return iou, iou - (hull - union) / hull


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Put masks that fill their boxes into frames, bilinearly; zero outside the boxes.

    Args:
        masks: (M, S, S) probabilities.
        boxes: (M, 4) in pixels of the frame.
        size: (H, W) of the frame.

    Returns:
        (M, H, W).
    """
    height, width = size
    boxes = boxes.to(masks.dtype)
    x1, y1, x2, y2 = (side[:, None] for side in boxes.unbind(-1))
    x = torch.arange(width, device=masks.device, dtype=masks.dtype) + 0.5
    y = torch.arange(height, device=masks.device, dtype=masks.dtype) + 0.5
    x = (x[None] - x1) / (x2 - x1).clamp(min=1e-6) * 2 - 1
    y = (y[None] - y1) / (y2 - y1).clamp(min=1e-6) * 2 - 1
    grid = torch.stack([x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
