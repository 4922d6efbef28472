"""Deformable sampling in front of a matching head."""

from torch import Tensor

from ...registry import LAYERS, MATCHING_HEADS
from ...structures import Rows
from ...utils.errors import ConfigError
from ..layers.aggregate import full_precision
from ..layers.offset_network import check_grid, grid_over
from ..memories import MemoryState, Similarity
from .affinity import AffinityMatching
from .base import MatchingHead
from .sampled_memory import SampledMemory


@MATCHING_HEADS.register_module(examples=[
    dict(head=dict(type="L2Matching", top_k=3, prior=dict(type="LocalityPrior"))),
    dict(head=dict(type="AnisotropicL2Matching"), grid_factor=1, groups=2, norm="LN", max_offset=1.0),
    dict(head=dict(type="L2Matching"), groups=1, offsets=False)])
class DeformableMatching(MatchingHead):
    """Lets a head read each memory frame at points that the current keys move (deformable DeAOT, section 3.2.2).

    Keys and values of a frame are sampled on a grid of factor g, shifted by one offset per point and group of channels:
    g^2 times fewer tokens are compared. Offsets come from the current frame alone and hold for every memory frame.
    Entries without a grid, such as condensed ones, are read as they are. Biases by position take a token to be at its
    reference point.

    Args:
        head: config (kind ``matching head``) of an :class:`~.affinity.AffinityMatching`.
        key_channels, value_channels, stride: given by the segmentor, for this head and the one inside.
        grid_factor, groups, kernel, norm, max_offset: see :class:`~..layers.OffsetNetwork`.
        offsets: False leaves every point at its reference point: the control that only has fewer tokens.
    """

    def __init__(self, head: dict, key_channels: int, value_channels: int | None = None, stride: int | None = None,
                 grid_factor: int = 2, groups: int = 4, offsets: bool = True, kernel: int = 5, norm: str | None = None,
                 max_offset: float | None = None):
        super().__init__()
        check_grid(self, key_channels, groups, grid_factor)
        offered = dict(key_channels=key_channels, value_channels=value_channels, stride=stride)
        self.head = MATCHING_HEADS.build(head, **{key: x for key, x in offered.items() if x is not None})
        if not isinstance(self.head, AffinityMatching):
            raise ConfigError(f"DeformableMatching.head must compare keys with those of a memory (an AffinityMatching "
                              f"such as L2Matching), got {type(self.head).__name__}")
        self.out_channels = self.head.out_channels
        self.grid_factor, self.groups = grid_factor, groups
        self.network = LAYERS.build(dict(
            type="OffsetNetwork", channels=key_channels, groups=groups, grid_factor=grid_factor, kernel=kernel,
            norm=norm, max_offset=max_offset)) if offsets else None

    @property
    def similarity_of(self) -> Similarity:
        """How tokens are compared: by the head inside."""
        return self.head.similarity_of

    def forward(self, query: Tensor, memory: MemoryState, rows: Rows, frame: int, **beside: Tensor | None) -> Tensor:
        """See :meth:`~.base.MatchingHead.forward`."""
        sampled = SampledMemory(memory, self.offsets_of(query), self.head.reads)
        return self.head(query, sampled, rows, frame, **beside)

    def offsets_of(self, query: Tensor) -> Tensor:
        """(B, S, 2, h_g, w_g) in cells, of keys (B, Ck, h, w)."""
        grid = grid_over(tuple(query.shape[-2:]), self.grid_factor)
        if self.network is not None:
            return self.network(query)
        return full_precision(query.new_zeros(len(query), self.groups, 2, *grid))
