"""What every matching head answers."""

from abc import abstractmethod

from torch import Tensor, nn

from ...structures import Rows
from ..memories import MemoryState, Similarity


class MatchingHead(nn.Module):
    """Reads a memory for the current frame.

    Segmentors offer ``key_channels``, ``value_channels`` and ``stride`` when they build a head; it gets those that its
    constructor names.

    Attributes:
        out_channels: of what :meth:`forward` gives; None where that is what the values of the memory have.
        similarity_of: how tokens are compared, for memories that compare too; None for a head that does not.
    """

    out_channels: int | None = None
    similarity_of: Similarity | None = None

    @abstractmethod
    def forward(self, query: Tensor, memory: MemoryState, rows: Rows, frame: int, **beside: Tensor | None) -> Tensor:
        """Read the memory.

        Args:
            query: (B, Ck, h, w) keys of the current frame.
            memory: of the video.
            rows: the P rows to read for.
            frame: index of the current frame.
            beside: further tensors (B, C, h, w) of the current frame by name; None stands for one that it lacks.

        Returns:
            (P, Cv, h, w); zeros for an object that has no memory.
        """
