"""Least squares against full-resolution labels, expressed at low resolution."""

import torch
import torch.nn.functional as F
from torch import Tensor

OFFSETS = (-1, 0, 1)


def label_stencil(labels: Tensor, weights: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What the normal equations of |W (U s - y)|^2 need of labels y, pixel weights W and bilinear up-sampling U.

    They are U^T W^2 U s = U^T W^2 y. Every pixel is interpolated from a block of 2x2 cells, so K = U^T W^2 U couples a
    cell with its eight neighbours only: a 3x3 stencil per cell. Neither labels nor weights have to be kept.

    Args:
        labels: (N, H, W), y.
        weights: (N, H, W), W (not squared).
        grid: (h, w) of the scores s.

    Returns:
        K (N, 9, h, w): coupling of each cell with its neighbour at row offset -1, 0, 1 (slowest) and column offset;
        z = U^T W^2 y (N, h, w).
    """
    rows, columns = (_interpolation(low, high, labels) for low, high in zip(grid, labels.shape[-2:], strict=True))
    square = weights.square()
    by_row = [_overlap(rows, offset).T @ square for offset in OFFSETS]
    across = [_overlap(columns, offset) for offset in OFFSETS]
    stencil = torch.stack([part @ matrix for part in by_row for matrix in across], dim=1)
    return stencil, rows.T @ (square * labels) @ columns


def apply_stencil(stencil: Tensor, scores: Tensor) -> Tensor:
    """K s: (N, 9, h, w), (N, h, w) -> (N, h, w)."""
    return (stencil * neighbours(scores)).sum(dim=1)


def neighbours(x: Tensor) -> Tensor:
    """(N, h, w) -> (N, 9, h, w): the values at the 3x3 offsets of each cell, zero outside."""
    return F.unfold(x[:, None], 3, padding=1).unflatten(2, x.shape[-2:])


def _interpolation(low: int, high: int, like: Tensor) -> Tensor:
    """(high, low) matrix of linear interpolation (align_corners=False)."""
    eye = torch.eye(low, dtype=like.dtype, device=like.device)
    return F.interpolate(eye[None], size=high, mode="linear", align_corners=False)[0].T


def _overlap(matrix: Tensor, offset: int) -> Tensor:
    """(high, low): how much each pixel depends on a cell, times the same for the cell at ``offset`` from it."""
    shifted = torch.roll(matrix, -offset, dims=1)
    if offset > 0:
        shifted[:, -offset:] = 0
    elif offset < 0:
        shifted[:, :-offset] = 0
    return matrix * shifted
