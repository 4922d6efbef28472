"""The part that all sparse convolutions share: a drop-in for ``nn.Conv2d`` with a gate."""

from importlib import import_module

import torch
from torch import Tensor, nn

from ....structures import Work
from ....utils.errors import ConfigError
from ...frame_run import FrameRun, is_training
from ...layers.build import add_and_activate
from .constructed import ForcedPolicy, policy_of_density
from .executors import DifferentiableConv, PackedConv, WeightCache
from .gates import COMPUTE, Choice, Gate
from .kept import keep, recall, run_of

NO_NORM = nn.Identity()
Executor = DifferentiableConv | PackedConv


class SparseConv(nn.Conv2d):
    """Base of convolutions that compute a part of their sites.

    Outside of a frame loop, on rows that are nobody's, and on frames that a frame policy keeps dense, it is the dense
    convolution. The names of its parameters are those of ``nn.Conv2d``; the gate's (``gate.weight``, ``gate.bias``)
    come on top, see :func:`~.weights.load_dense_weights`.

    A kind says what its gate looks at (:meth:`ask`), what is kept (:meth:`remember`) and which sites get what
    (:meth:`carry_out`); one of two executors does it, see :mod:`.executors`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as for ``nn.Conv2d``.
        tau: temperature of the Gumbel-softmax.

    Attributes:
        forced: what decides instead of the gate in evaluation, see :mod:`.constructed`. None: the gate.
        name: under which previous features are kept; given by :func:`~.surgery.sparsify`.
        per_frame: the rows of the input are the frames of the batch, not those of objects.
    """

    temporal = True  # without previous features there is nothing to decide
    keeps_output = True  # so a shortcut cannot be added while the output is made
    adds = False  # changes of the input are added up, before any ReLU
    dense_gate_share = 0.0  # of the gate that is evaluated on dense frames

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple, stride: int | tuple = 1,
                 padding: int | tuple = 0, dilation: int | tuple = 1, groups: int = 1, bias: bool = True,
                 tau: float = 1.0):
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation,
                         groups=groups, bias=bias)
        # The operators are loaded where a layer needs them, not by dense models; from then on they can be counted.
        import_module("vosplug.ops")
        if isinstance(padding, str):
            raise ConfigError(f"{type(self).__name__}.padding must be numbers, got {padding!r}")
        if not tau > 0:
            raise ConfigError(f"{type(self).__name__}.tau must be positive, got {tau}")
        self.tau = tau
        self.name = ""
        self.per_frame = False
        self.forced: ForcedPolicy | None = None
        self.gate = self.build_gate()
        self._packed = WeightCache()

    # What a kind of sparse convolution says -------------------------------------------------------------------------

    def build_gate(self) -> Gate:
        """The gate of the layer."""
        raise NotImplementedError(f"{type(self).__name__} does not say which gate it has")

    def remember(self, x: Tensor) -> dict[str, Tensor]:
        """What the gate of the next frame wants to know of a dense frame with the input ``x``."""
        return {}

    def ask(self, x: Tensor, kept: dict[str, Tensor], known: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Ask the gate.

        Args:
            kept: what the layer kept of the previous frame, rows as in ``x``; empty for a layer that keeps nothing.
            known: (N,) bool, rows that have previous features; None for all. The others will be computed.

        Returns:
            Logits of the gate, what is convolved (``x``, or its change), and what :meth:`remember` says of ``x``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its gate looks at")

    def carry_out(self, conv: Executor, x: Tensor, choice: Choice, kept: dict[str, Tensor], known: Tensor | None,
                  shortcut: Tensor | None) -> Tensor:
        """The output of a sparse frame; ``x`` is what :meth:`ask` said is convolved.

        Args:
            shortcut: to add before the activation; only where the layer does not keep its output.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how policies are carried out")

    # The frame loop -------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        run = run_of(self)
        if run is None or not self.in_inference():
            conv = DifferentiableConv(self)
            return conv.everywhere(x) if run is None else self.process(x, conv, run)
        out = self.process(x, self.packed(x, NO_NORM, relu=False), run)
        return out.clone() if self.keeps_output else out  # the next frame would overwrite what a caller holds

    def fused(self, x: Tensor, norm: nn.Module, relu: bool, shortcut: Tensor | None = None) -> Tensor | None:
        """``relu(norm(conv(x)) + shortcut)`` in inference, with the norm folded.

        The result may be a buffer of the layer: it is valid until the next frame, and must not be written to. A norm
        that cannot be folded (group norm looks at all sites) runs after the convolution, which still updates its output
        in place.

        Returns:
            None where it cannot be done so (training, gradients, no frame loop, rows that are nobody's).
        """
        run = run_of(self)
        if run is None or not self.in_inference():
            return None
        if not PackedConv.possible(norm):
            return add_and_activate(norm(self.fused(x, NO_NORM, relu=False)), shortcut, relu)
        inside, outside = (None, shortcut) if self.keeps_output else (shortcut, None)
        folds_relu = relu and outside is None and not self.adds
        conv = self.packed(x, norm, folds_relu)
        if inside is not None:
            inside = inside.to(conv.dtype).contiguous(memory_format=torch.channels_last)
        out = self.process(x, conv, run, inside)
        return add_and_activate(out, outside, relu and not folds_relu)

    def process(self, x: Tensor, conv: Executor, run: FrameRun, shortcut: Tensor | None = None) -> Tensor:
        """One frame, densely or as the gate chooses; what the next frame needs is kept."""
        x = x.to(conv.dtype) if isinstance(conv, PackedConv) else x
        found = recall(self, x, run, conv.form)
        if run.plan.get("dense") or (self.temporal and found is None):
            buffer = found[0]["out"] if found is not None and found[1] is None else None
            out = conv.everywhere(x, buffer, shortcut)
            self.keep(x, conv, run, out, self.remember(x))
            self.note(run, out, gate_share=self.dense_gate_share)
            return out
        kept, known = found or ({}, None)
        logits, signal, remembered = self.ask(x, kept, known)
        choice = self.choose(logits, known)
        out = self.carry_out(conv, signal, choice, kept, known, shortcut)
        self.keep(x, conv, run, out, remembered, choice.policy)
        self.note(run, out, choice, known)
        return out

    def choose(self, logits: Tensor, known: Tensor | None) -> Choice:
        """Drawn in training; in evaluation the likeliest policy, or one that is forced. Rows without past compute."""
        if is_training(self):
            return self.gate.draw(logits, self.tau, known)
        policy = self.gate.best(logits)
        if self.forced is not None:
            policy = self.gate.settle(self.forced(self.name, tuple(policy.shape), policy.device))
        return Choice(policy if known is None else policy.masked_fill(~known[:, None, None], COMPUTE))

    def compute_share(self, share: float) -> None:
        """Compute this share of the sites in evaluation from now on, in clusters, whatever the gate has learnt."""
        self.forced = policy_of_density(share)

    def keep(self, x: Tensor, conv: Executor, run: FrameRun, out: Tensor, remembered: dict[str, Tensor],
             policy: Tensor | None = None) -> None:
        """Keep what the next frame needs."""
        if self.temporal:
            keep(self, x, run, conv.form, {**conv.kept(out, policy), **remembered}, conv.in_place)

    def note(self, run: FrameRun, out: Tensor, choice: Choice | None = None, known: Tensor | None = None,
             gate_share: float = 1.0) -> None:
        """Tell the run what was done.

        Args:
            choice: None for a dense frame.
            gate_share: share of the gate that was evaluated.
        """
        sites = out.shape[0] * out.shape[2] * out.shape[3]
        work = Work(self.name, self.site_cost, self.gate.macs(sites, gate_share), sites,
                    None if choice is None else choice.policy)
        if choice is not None and choice.drawn is not None:
            chosen = choice.chosen()
            rows = chosen if known is None else chosen[known]
            work.chosen, work.decided = rows.sum(), rows.numel()
        run.note(work)

    @property
    def site_cost(self) -> int:
        """Multiply-accumulates per site, c_k of Eq. 12."""
        return self.weight[0].numel() * self.out_channels

    # Packed weights -------------------------------------------------------------------------------------------------

    def in_inference(self) -> bool:
        """Whether nothing is learnt and no gradient is wanted, so that packed weights can be used."""
        return not (self.training or torch.is_grad_enabled() or is_training(self))

    def packed(self, x: Tensor, norm: nn.Module, relu: bool) -> PackedConv:
        """The executor for inference on inputs like ``x``."""
        return self._packed.of(self, x, norm, relu, adds=self.adds)

    def train(self, mode: bool = True) -> "SparseConv":
        """Forget packed weights: they may change now without being noticed."""
        self._packed.conv = None
        return super().train(mode)
