"""Losses on frames whose masks are given."""

from torch import Tensor, nn

from ...registry import LOSSES
from ...structures import ClipRecord, ReferencePrediction
from ...utils.errors import ConfigError
from .base import ClipLoss


@LOSSES.register_module(examples=[
    dict(losses=[dict(type="SoftJaccardLoss"), dict(type="DiceLoss", weight=0.5)])])
class ReferenceLoss(ClipLoss):
    """AOT's auxiliary loss: what is predicted for a frame that starts objects, with their masks in its memory.

    Its weight falls linearly to zero; from then on nothing is predicted for such frames.

    Args:
        losses: configs of losses on masks, which are summed by their own weights.
        until: share of the training at which the weight is zero.
        weight: at the beginning.
    """

    name = "reference"

    def __init__(self, losses: list[dict], until: float = 1.0, weight: float = 1.0):
        super().__init__()
        if not 0 < until <= 1:
            raise ConfigError(f"ReferenceLoss.until must lie in (0, 1], got {until}")
        self.losses = nn.ModuleList(LOSSES.build(loss) for loss in losses)
        self.until, self.weight = until, weight
        self.factor = 1.0

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Set the factor of the weight for an iteration; called by the training loop."""
        self.factor = max(0.0, 1 - iteration / (self.until * max_iterations))

    @property
    def reads_references(self) -> bool:
        """Whether models should predict frames whose masks are given."""
        return self.factor > 0

    def forward(self, record: ClipRecord) -> Tensor | float:
        """Mean over the frames that start objects; zero if there is none."""
        values = []
        for frame in record.frames:
            for note in frame.notes:
                if isinstance(note, ReferencePrediction):
                    clips = note.clips.nonzero().flatten().to(note.logits.device)
                    pair = note.logits.index_select(0, clips), frame.labels.index_select(0, clips)
                    values.append(sum(loss.pixels(*pair) * loss.weight for loss in self.losses))
        return self.factor * sum(values) / len(values) if values else record.frames[0].logits.new_zeros(())
