"""Static sparse convolution, a baseline."""

from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import Executor, SparseConv
from .gates import SKIP, BinaryGate, Choice


@SPARSE_CONVS.register_module(examples=[dict()])
class StaticSparseConv(SparseConv):
    """Each site is computed or zero, by the current input alone (dynamic convolutions, Verelst and Tuytelaars, 2020).

    The squeeze branch of their mask unit is not part of it, as the sizes in SpVOS's tables tell.

    Args: see :class:`~.base.SparseConv`.
    """

    temporal = False
    keeps_output = False

    def build_gate(self) -> BinaryGate:
        """See the base class."""
        return BinaryGate(self, otherwise=SKIP)

    def ask(self, x: Tensor, kept: dict[str, Tensor], known: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See the base class."""
        return self.gate(x), x, {}

    def carry_out(self, conv: Executor, x: Tensor, choice: Choice, kept: dict[str, Tensor], known: Tensor | None,
                  shortcut: Tensor | None) -> Tensor:
        """Zero where the gate says so."""
        return conv.alone(x, choice, shortcut)
