"""The true masks of rows."""

from torch import Tensor

from ...structures import Rows
from ...utils.masks import VOID


def row_truth(labels: Tensor, rows: Rows) -> Tensor:
    """(R, 1, H, W) bool masks of the objects of ``rows``; ``labels`` (B, H, W) by channel."""
    return (labels[rows.batch] == rows.slot[:, None, None] + 1)[:, None]


def seen_rows(labels: Tensor, rows: Rows) -> Tensor:
    """(R, 1, H, W) bool: pixels that are not void; ``labels`` (B, H, W)."""
    return (labels[rows.batch] != VOID)[:, None]
