"""What reuse gates see and answer."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from ...structures import Rows, RowStore


@dataclass
class GateInput:
    """What a gate may look at.

    Attributes:
        rows: the R rows that leave a choice.
        frame: index of the frame.
        features: (B, C, h, w) early features of the frame, at stride 8.
        store: what the video remembers of its rows; a gate may keep something here, under names of its own.
        dissimilarity: D (R, C, h, w) of template matching; None for gates that do not ask for it (``compares``).
    """

    rows: Rows
    frame: int
    features: Tensor
    store: RowStore
    dissimilarity: Tensor | None = None


class Gate(nn.Module):
    """Base of reuse gates.

    A gate holds no state of a video: what it has to remember goes into ``GateInput.store``.

    Attributes:
        compares: whether the gate looks at the dissimilarity; if not, it is computed for translated rows only.
    """

    compares = False

    def __init__(self):
        super().__init__()

    @abstractmethod
    def forward(self, inputs: GateInput) -> Tensor:
        """(R,) probabilities of reuse: a row whose probability is above tau is not computed."""

    def sample(self, probability: Tensor) -> Tensor:
        """What decides in training, of the (R,) probabilities: above 0.5 is reuse; by default these themselves."""
        return probability

    def remember(self, store: RowStore, rows: Rows, features: Tensor) -> None:
        """Told of rows that a frame was computed for; ``features`` (B, C, h, w) are its early ones."""
