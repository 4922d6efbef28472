"""Reuse gates (Park et al.: Learning Dynamic Network Using a Reuse Gate Function in Semi-supervised VOS, CVPR 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import GATES, LAYERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Decision, Prompt, Rows, ScoreChange, VideoState
from ...utils.errors import ConfigError, InputError
from ..decoders.refiner import resize
from ..frame_run import FrameRun
from ..gates import GateInput
from ..layers.aggregate import EPSILON
from .base import VOSSegmentor

SCORE, FEATURE, TEMPLATE, LOGITS, COUNT = (f"reuse.{name}" for name in ("score", "feature", "template", "logits", "count"))
MODES = ("translate", "copy", "fusion")
ON_MEMORY_FRAME = ("reuse", "full")


@dataclass
class Choice:
    """What was chosen for the R rows of a frame.

    Attributes:
        reused, copied: (R,) bool on the CPU; copied rows are among the reused ones.
        compare: gives the dissimilarity (R', C, h, w) of some of the rows.
    """

    reused: Tensor
    copied: Tensor
    compare: Callable[[Rows], Tensor]


@SEGMENTORS.register_module()
class ReuseGated(VOSSegmentor):
    """A segmentor whose deep features, memory read-out and coarse half are skipped for rows that have changed little.

    Each row ((video, object), or what else the method has) decides alone. Early features and the score of the last
    computed frame are matched with a template of the first frame; the gate makes a probability of reuse of the result. A
    row that is computed goes through the stages of the inner segmentor, as without a gate. For a row that is reused the
    change of the score is predicted, and the coarse feature is translated by it; the fine half then makes the mask. On
    such frames nothing that the method remembers of the row changes.

    What is kept of a row is in ``state.objects``: score, coarse feature and template; with copies its last logits too.

    Args:
        segmentor: config (kind ``segmentor``) of the method, which has to have a ``cut``.
        gate: config (kind ``reuse gate``).
        matching: config (kind ``matching head``) of the template matching.
        delta, translator: configs (kind ``layer``) of what predicts the change and translates by it.
        tau: a row is reused if its probability is above; 1: never, 0: always. A list has one number per frame after the
            first.
        mode: ``translate``; ``copy`` repeats the previous mask instead; ``fusion`` copies where the probability is above
            ``tau_copy``, and translates otherwise.
        tau_copy: see ``mode``; above tau.
        max_reuse: a row is computed after so many reused frames in a row; None for no such limit.
        on_memory_frame: ``reuse`` lets the gate decide about frames that the memory keeps; ``full`` computes them.
        noise: in training: ``none``, or ``gumbel`` to sample decisions.
        losses, init_cfg: see :class:`~.base.VOSSegmentor`.
    """

    def __init__(self, segmentor: dict, gate: dict | None = None, matching: dict | None = None,
                 delta: dict | None = None, translator: dict | None = None, tau: float | Sequence[float] = 0.7,
                 mode: str = "translate", tau_copy: float | None = None, max_reuse: int | None = None,
                 on_memory_frame: str = "reuse", noise: str = "none", losses: list[dict] | None = None,
                 init_cfg: dict | None = None):
        inner = SEGMENTORS.build(segmentor)
        super().__init__(preprocessor=segmentor["preprocessor"], losses=losses, init_cfg=init_cfg)
        check_options(tau, mode, tau_copy, max_reuse, on_memory_frame, noise)
        cut = inner.cut
        if cut is None:
            raise ConfigError(f"{type(inner).__name__} cannot be gated: it has no cut between a coarse half, which a gate "
                              "skips, and a fine half")
        self.segmentor = inner
        self.memory, self.data_preprocessor = inner.memory, inner.data_preprocessor
        self.matching = MATCHING_HEADS.build(matching or dict(type="TemplateMatching"),
                                             feature_channels=cut.early.channels)
        channels = self.matching.out_channels
        self.gate = GATES.build(gate or dict(type="ReuseGate"), **self.offered(gate, in_channels=channels))
        self.delta = LAYERS.build(delta or dict(type="DeltaGenerator"), in_channels=channels,
                                  stride=cut.coarse.stride // cut.early.stride)
        self.translator = LAYERS.build(translator or dict(type="RefineTranslator"), channels=cut.coarse.channels)
        self.tau, self.mode, self.tau_copy = tau, mode, tau_copy
        self.max_reuse, self.on_memory_frame, self.noise = max_reuse, on_memory_frame, noise
