"""Heads that see different cells."""

from torch import Tensor, nn

from ...registry import ATTENTIONS
from ...utils.errors import ConfigError
from .base import Attended, SpacetimeAttention


@ATTENTIONS.register_module(examples=[dict(parts=[dict(type="GridAttention"), dict(type="LocalAttention", h=2)])])
class MixedHeadsAttention(SpacetimeAttention):
    """Groups of heads, equally many for each of some attentions: the other reading of SST's "separate heads".

    Args:
        parts: configs (kind ``attention``).
    """

    def __init__(self, parts: list[dict]):
        super().__init__()
        if len(parts) < 2:
            raise ConfigError(f"MixedHeadsAttention.parts must be at least two attentions, got {len(parts)}")
        self.parts = nn.ModuleList(ATTENTIONS.build(part) for part in parts)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, heads: int = 1, **options) -> Attended:
        """See :class:`~.base.SpacetimeAttention`."""
        self.check_heads(heads)
        count = len(self.parts)
        groups = zip(*(x.chunk(count, dim=1) for x in (q, k, v)), strict=True)
        return Attended.joined([part(*group, heads=heads // count, **options)
                                for part, group in zip(self.parts, groups, strict=True)])

    def check_heads(self, heads: int) -> None:
        """Every part needs equally many."""
        if heads % len(self.parts):
            raise ConfigError(f"MixedHeadsAttention has {len(self.parts)} parts, which do not divide {heads} heads")

    def pairs(self, size: tuple[int, int, int], **options) -> float:
        """Mean over the heads; see :class:`~.base.SpacetimeAttention`."""
        return sum(part.pairs(size, **options) for part in self.parts) / len(self.parts)
