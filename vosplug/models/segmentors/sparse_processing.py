"""Where a segmentor computes sparsely, and on which frames (SpVOS)."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ...structures import VideoState
from ...utils.errors import ConfigError, did_you_mean
from ..backbones.sparse_convs import (
    FoldingConv,
    FrameContext,
    SparseConv,
    Work,
    load_dense_weights,
    working_on,
)


def keeps(state: VideoState, prompted: bool, last: bool) -> bool:
    """Whether the memory keeps the frame for good (a frame that the next one replaces is none of its memory frames)."""
    if state.memory is None or last:
        return prompted
    return prompted or state.memory.is_kept(state.frame_index, prompted)


# Which frames are processed densely (SpVOS III-E, IV-D1): policy(state, prompted, last).
POLICIES = {
    "fully": lambda state, prompted, last: False,
    "semi_mixed": lambda state, prompted, last: prompted,
    "mixed": keeps,
}
MODULES = {"Q": "key encoder", "D": "decoder", "M": "value encoder with its fuser"}


class FrameOfSparse:
    """The stages of one frame, and what layers did in them.

    Attributes:
        features: for :class:`~vosplug.structures.StepOutput`: ``sparse_work``, a list of
            :class:`~vosplug.models.backbones.sparse_convs.Work`.
    """

    def __init__(self, dense: bool, fold: bool):
        self.dense, self.fold = dense, fold
        self.work: list[Work] = []
        self.features: dict[str, Any] = {"sparse_work": self.work}

    def stage(self, state: VideoState) -> AbstractContextManager:
        """Make ``state`` the one that layers keep their features in, with the objects that are active now."""
        rows, channels = state.active.nonzero(as_tuple=True)
        ids = state.ids.ids
        objects = tuple((b, ids[o]) for b, o in zip(rows.tolist(), channels.tolist(), strict=True))
        frames = tuple(range(state.batch_size))
        return working_on(FrameContext(state.cache, frames, objects, self.dense, self.work, self.fold))

    def arrange(self, frame: Tensor) -> Tensor:
        """The frame in the memory format that the kernels like."""
        inference = self.fold and not torch.is_grad_enabled()
        return frame.contiguous(memory_format=torch.channels_last) if inference else frame


class DenseFrame:
    """A frame of a model without sparse convolutions."""

    def __init__(self):
        self.features: dict[str, Any] = {}

    def stage(self, state: VideoState) -> AbstractContextManager:
        """Nothing to make known."""
        return nullcontext()

    def arrange(self, frame: Tensor) -> Tensor:
        """The frame as it is."""
        return frame


@LAYERS.register_module()
class SparseProcessing:
    """Puts sparse convolutions into the parts of a segmentor and says which frames are processed densely.

    Args:
        conv: config (kind ``sparse convolution``).
        where: letters of the parts whose residual blocks become sparse: Q key encoder, D decoder, M value encoder with
            its fuser.
        policy: ``mixed``: frames that the memory keeps are dense; ``semi_mixed``: frames on which masks are given are
            dense; ``fully``: none is. Layers that need previous features compute densely where they have none.
        everywhere: in Q also shortcuts and projections, in D shortcuts, skip convolutions and the prediction layer
            become sparse (the paper's dagger); not for methods with a sensory memory.
        losses: configs of losses on what the layers compute.
        fold: in inference convolution, norm and ReLU are one step on packed weights, equal to separate steps to
            rounding. False keeps them apart, so that gates that always compute give the dense model bit by bit.
        dense_kernels: in inference the 3x3 convolutions of Q and D that stay dense (projections, skip convolutions,
            shortcuts of the decoder) run on the compiled kernels too.
        dense_weights: checkpoint of the dense twin to start from; gates keep their initial values.
        lean: hold less memory in inference. Triple pointwise convolutions that widen keep their inputs, which are
            fewer, and make reused outputs of them again; packed weights replace the layers' own, so that the model
            can no longer be trained, saved or copied once a video has run.
    """

    def __init__(self, conv: dict, where: str = "QD", policy: str = "mixed", everywhere: bool = False,
                 losses: list[dict] | None = None, dense_weights: str | None = None, fold: bool = True,
                 dense_kernels: bool = False, lean: bool = False):
        if policy not in POLICIES:
            raise ConfigError(f"unknown policy {policy!r}.{did_you_mean(policy, POLICIES)} "
                              f"Known: {', '.join(POLICIES)}.")
        if not where or set(where) - set(MODULES) or len(set(where)) < len(where):
            letters = ", ".join(f"{letter} ({name})" for letter, name in MODULES.items())
            raise ConfigError(f"where must consist of some of the letters {letters}, got {where!r}")
        if "M" in where and policy == "mixed":
            raise ConfigError("where='...M' has no effect under policy='mixed': the value encoder runs on memory "
                              "frames only, and those are dense; use 'fully' or 'semi_mixed', or leave M out")
        if "M" in where and everywhere:
            raise ConfigError("everywhere=True is for Q and D: leave M out of where")
        if dense_kernels and (everywhere or not set(where) & set("QD")):
            raise ConfigError("dense_kernels=True has no effect: it is for what stays dense in Q and D, which is "
                              f"nothing with everywhere={everywhere} and where={where!r}; leave it out")
        if lean and not fold:
            raise ConfigError("lean=True has no effect with fold=False, which packs no weights: leave one of them out")
        self.lean = lean
        self.conv, self.where, self.policy, self.everywhere = conv, where, policy, everywhere
        self.losses = list(losses or [])
        self.dense_weights, self.fold = dense_weights, fold
        self.outer = dict(type="DenseConv", packed=True) if dense_kernels else None
        if everywhere:
            self.outer = conv

    def place(self, key_encoder: dict, value_encoder: dict, decoder: dict, *updates: dict) -> tuple[dict, ...]:
        """Copies of the configs of the parts, with the sparse convolutions in them.

        Args:
            updates: what the decoder's features update (XMem's sensory memory); part of D.
        """
        if self.everywhere and updates:
            raise ConfigError("everywhere=True is not defined for a method with a sensory memory: leave it out")
        key_encoder, value_encoder, decoder, *updates = copy.deepcopy((key_encoder, value_encoder, decoder, *updates))
        if "Q" in self.where:
            key_encoder["backbone"]["conv"] = self.conv
            if self.everywhere:
                key_encoder["backbone"]["shortcut_conv"] = self.conv
            if self.outer is not None:
                key_encoder["proj_conv"] = self.outer
        if "D" in self.where:
            for part in (decoder, *updates):
                part["conv"] = self.conv
            if self.outer is not None:
                decoder["outer_conv"] = self.outer
        if "M" in self.where:
            value_encoder["backbone"]["conv"] = value_encoder["fuser"]["conv"] = self.conv
        return key_encoder, value_encoder, decoder, *updates

    def attach(self, model: nn.Module) -> None:
        """Name the layers of ``model``, tell them whose rows they will see, and load dense weights if asked."""
        for name, module in model.named_modules():
            if isinstance(module, SparseConv):
                module.name = name
                module.per_frame = module.per_frame or name.startswith("key_encoder.")
                if self.lean and not module.can_be_lean:
                    raise ConfigError(f"lean=True has no effect on {type(module).__name__}: leave it out")
            if isinstance(module, FoldingConv):
                module.lean = self.lean
        if self.dense_weights:
            load_dense_weights(model, self.dense_weights)

    def begin(self, state: VideoState, *, prompted: bool, last: bool) -> FrameOfSparse:
        """Decide how the next frame is processed."""
        return FrameOfSparse(POLICIES[self.policy](state, prompted, last), self.fold)


class NoSparse:
    """Stands for :class:`SparseProcessing` in a model without sparse convolutions."""

    losses: tuple = ()

    def place(self, *parts: dict) -> tuple[dict, ...]:
        """The configs as they are."""
        return parts

    def attach(self, model: nn.Module) -> None:
        """Nothing to do."""

    def begin(self, state: VideoState, *, prompted: bool, last: bool) -> DenseFrame:
        """A frame without contexts."""
        return DenseFrame()


DENSE = NoSparse()


def build_sparse(config: dict | None) -> "SparseProcessing | NoSparse":
    """Build the option ``sparse`` of a segmentor; its ``type`` may be left out."""
    return DENSE if config is None else LAYERS.build({"type": "SparseProcessing", **config})
