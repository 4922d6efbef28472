"""What brings the features of a remembered frame to the present one when a reuse gate is on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ...structures import Rows
from ...utils.errors import ConfigError
from .residual import ProjectedBlock

MOVED = "reuse.moved"  # name in ``FrameRun.shared`` of the :class:`MovedRows` of the frame


@LAYERS.register_module(role="delta", examples=[dict(stride=2), dict(stride=1)])
class DeltaGenerator(nn.Module):
    """One 3x3 convolution from dissimilarity to the change of the score (reuse gate paper, section 3.2, Eq. 3).

    Args:
        in_channels: of the dissimilarity; given by the segmentor.
        stride: from its stride (8) to that of the score; given by the segmentor.
    """

    def __init__(self, in_channels: int, stride: int = 2):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 1, 3, stride=stride, padding=1)

    def forward(self, dissimilarity: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, 1, h / stride, w / stride)."""
        return self.conv(dissimilarity)


@LAYERS.register_module(role="translator", examples=[dict(), dict(hidden=8)])
class RefineTranslator(nn.Module):
    """Estimate a refined feature from the remembered one and the change of the score (Fig. 5a).

    Parallel dilated convolutions, a 5x5 convolution over all of them, a residual block.

    Args:
        channels: of the refined feature; given by the segmentor.
        hidden: the feature is brought to this many channels by 1x1 convolutions before, and back after, with the result
            added to the remembered feature; None translates all channels as published.
        branch_channels: of each dilated convolution; three quarters of the channels if None.
        dilations: of the parallel convolutions.
        norm: of the residual block; batch norm if None.
    """

    def __init__(self, channels: int, hidden: int | None = None, branch_channels: int | None = None,
                 dilations: tuple[int, ...] = (1, 2, 3), norm: dict | None = None):
        super().__init__()
        if hidden is not None and not 0 < hidden < channels:
            raise ConfigError(f"RefineTranslator.hidden must lie between 0 and {channels}, the channels of the "
                              f"feature, got {hidden}")
        inner = hidden or channels
        branch = branch_channels or 3 * inner // 4
        self.reduce = self.expand = None
        if hidden is not None:
            self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.branches = nn.ModuleList(nn.Conv2d(inner + 1, branch, 3, padding=d, dilation=d) for d in dilations)
        self.blend = nn.Conv2d(branch * len(dilations), inner, 5, padding=2)
        self.block = ProjectedBlock(inner, norm or dict(type="BN"))

    def forward(self, feature: Tensor, delta: Tensor) -> Tensor:
        """(R, C, h, w), (R, 1, h, w) -> (R, C, h, w)."""
        inner = feature if self.reduce is None else self.reduce(feature)
        x = torch.cat([inner, delta], dim=1)
        x = self.block(self.blend(torch.cat([branch(x) for branch in self.branches], dim=1)))
        return x if self.expand is None else feature + self.expand(x)


@dataclass
class MovedRows:
    """Rows that a reuse gate estimates instead of computing them; decoders that look at previous masks find them.

    Attributes:
        rows: the R' rows.
        score: (R', 1, h, w) estimated scores, 1 on the object and 0 elsewhere.
        share: (R',) probabilities of reuse, through which gradients of training clips go; None in inference.
        chosen: (R',) bool, the rows that are reused, in training; all in inference.
    """

    rows: Rows
    score: Tensor
    share: Tensor | None = None
    chosen: Tensor | None = None

    def put(self, estimates: Tensor, x: Tensor, rows: Rows) -> Tensor:
        """``x`` (R, C, h, w) of ``rows``, with ``estimates`` (R', C, h, w) where these are reused."""
        own = self.rows.having(rows.keys)
        if not len(own):
            return x
        mine, places = self.rows.places(own), rows.places(own)
        values = estimates[mine].to(x)
        if self.share is not None:
            values = straight_through(self.share[mine], self.chosen[mine], values, x[places])
        return x.index_copy(0, places, values)


def straight_through(soft: Tensor, hard: Tensor, moved: Tensor, computed: Tensor) -> Tensor:
    """``moved`` (R, C, h, w) where ``hard`` (R,) is true, else ``computed``; gradients of their mixture by ``soft``."""
    share, chosen = soft[:, None, None, None], hard[:, None, None, None]
    mixture = share * moved + (1 - share) * computed
    return torch.where(chosen, moved, computed).detach() + (mixture - mixture.detach())
