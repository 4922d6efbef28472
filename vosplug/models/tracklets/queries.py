"""What a tracklet starts from."""

import torch
from torch import Tensor, nn

from ...registry import QUERIES
from ...utils.errors import ConfigError


@QUERIES.register_module(examples=[
    dict(num_queries=4), dict(num_queries=4, time_shared=True), dict(num_queries=1)])
class TrackletQueries(nn.Module):
    """N learned tracklet queries q* and proposals b* (EfficientVIS, section 3.1).

    A query has one learned embedding that is repeated over the T frames of a clip, so that all T embeddings begin as
    one instance; a proposal is one learned box for all frames, at first the whole frame.

    Args:
        channels: C.
        num_queries: N.
        time_shared: one embedding per query through all interactions instead of one per frame (Table 1f): what an
            interaction makes of the T embeddings is averaged.
    """

    def __init__(self, channels: int, num_queries: int = 10, time_shared: bool = False):
        super().__init__()
        if num_queries < 1:
            raise ConfigError(f"TrackletQueries.num_queries must be at least 1, got {num_queries}")
        self.num_queries, self.time_shared = num_queries, time_shared
        self.embeddings = nn.Embedding(num_queries, channels)
        self.boxes = nn.Embedding(num_queries, 4)  # centre and size, in shares of the frame
        nn.init.constant_(self.boxes.weight[:, :2], 0.5)
        nn.init.constant_(self.boxes.weight[:, 2:], 1.0)

    def initial(self, batch_size: int) -> Tensor:
        """q* for each video: (B, N, C)."""
        return self.embeddings.weight[None].expand(batch_size, -1, -1)

    def repeat(self, queries: Tensor, length: int) -> Tensor:
        """(B, N, C) -> (B, T, N, C)."""
        return queries[:, None].expand(-1, length, -1, -1)

    def renew(self, queries: Tensor) -> Tensor:
        """What the next interaction starts from, (B, T, N, C) -> the same shape."""
        return self.repeat(queries.mean(dim=1), queries.shape[1]) if self.time_shared else queries

    def proposals(self, sizes: Tensor, length: int) -> Tensor:
        """b* in pixels: ``sizes`` (B, 2) of the unpadded frames as (H, W) -> (B, T, N, 4) as x1, y1, x2, y2."""
        x, y, width, height = self.boxes.weight.unbind(-1)
        box = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)
        scale = sizes.flip(-1).repeat(1, 2).to(box)
        return (box[None] * scale[:, None])[:, None].expand(-1, length, -1, -1)
