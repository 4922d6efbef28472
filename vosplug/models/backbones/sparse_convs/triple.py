"""Triple sparse convolution."""

from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import Executor, SparseConv
from .gates import Choice, TripleGate


@SPARSE_CONVS.register_module(examples=[dict(), dict(tau=0.5)])
class TripleSparseConv(SparseConv):
    """Each site is skipped (zero), reused (the previous output) or computed (SpVOS, III-C, Eq. 7-9).

    The gate sees the previous and the current input of the layer. In training the policy is sampled, with straight-
    through gradients; in evaluation it is the arg-max, and only computed sites cost anything. Zeros are written before
    a norm that follows.

    Args: see :class:`~.base.SparseConv`.
    """

    dense_gate_share = 0.5  # what the input adds to the logits of the next frame

    def build_gate(self) -> TripleGate:
        """See the base class."""
        return TripleGate(self)

    def remember(self, x: Tensor) -> dict[str, Tensor]:
        """See the base class."""
        return {"echo": self.gate.echo(x)}

    def ask(self, x: Tensor, kept: dict[str, Tensor], known: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Eq. 7."""
        own, echo = self.gate.halves(x)
        return own + kept["echo"], x, {"echo": echo}

    def carry_out(self, conv: Executor, x: Tensor, choice: Choice, kept: dict[str, Tensor], known: Tensor | None,
                  shortcut: Tensor | None) -> Tensor:
        """Eq. 8."""
        return conv.update(x, choice, kept)
