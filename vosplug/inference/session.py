"""Segmenting one video, frame by frame."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.backbones.sparse_convs.dense import prepared_inference, use_packed_kernels
from ..models.compiled import CompiledStages, compiled_inference
from ..models.layers.aggregate import winners, write_prompt
from ..ops.library import has_extension
from ..structures import ObjectIds, Prompt
from ..utils.amp import AMP_NAMES, autocast_type
from ..utils.checkpoint import unwrapped
from ..utils.config_check import declare_keys, options_of
from ..utils.errors import InputError, ModelError, did_you_mean
from .given_masks import GivenMasks, check_ids
from .prompted_session import PromptedSession
from .view import View


@dataclass(frozen=True)
class Prediction:
    """The segmentation of one frame at its native size.

    Attributes:
        logits: (O + 1, H, W), background first.
        ids: id of each of the O object channels.
    """

    logits: Tensor
    ids: tuple[int, ...]

    @property
    def prob(self) -> Tensor:
        """(O + 1, H, W) probabilities over background and objects."""
        return self.logits.softmax(dim=0)

    @property
    def labels(self) -> np.ndarray:
        """(H, W) uint8: the id of the most probable object, 0 for background."""
        table = torch.tensor([0, *self.ids], dtype=torch.uint8, device=self.logits.device)
        return table[winners(self.logits[None])[0].long()].cpu().numpy()


class VOSSession(PromptedSession):
    """The segmentation of one video by a model; sessions of one model do not influence each other.

    All that changes is in the session's :class:`VideoState` (one per scale and orientation), so a session costs nothing
    to make and can be dropped at any time. Until a first object is given, frames are background and the model rests.

    Args:
        model: a :class:`VOSSegmentor`; it is set to evaluation mode.
        max_short_side, max_long_side: frames whose short or long side is longer are segmented smaller, and the logits
            are resized back.
        scales: factors on the size that these limits leave; the probabilities of all scales are averaged.
        flip: also segment the mirrored video, and average.
        amp: ``bf16`` or ``fp16``: autocast type; ``auto``: what the device computes in; None computes in the type of
            the weights.
        channels_last: memory format of weights and frames.
        device: device to move the model to; None leaves it where it is.
        prepare: on a CPU, in float32 or bf16, run on packed weights where the compiled kernels are faster; results
            agree to rounding. Packed weights are held beside the model for all of its sessions.
        compile: compile the stages that encode a frame and decode masks: a name of
            :data:`~vosplug.models.compiled.COMPILERS`. Then nothing runs on packed weights.
        allow_empty: given masks without an object are no error.

    Raises:
        InputError: an option has a wrong value.
    """

    def __init__(self, model: nn.Module, *, max_short_side: int | None = None, max_long_side: int | None = None,
                 scales: Sequence[float] = (1.0,), flip: bool = False, amp: str | None = None,
                 channels_last: bool = False, device: str | torch.device | None = None, prepare: bool = True,
                 compile: str | None = None, allow_empty: bool = False):
        super().__init__(allow_empty=allow_empty)
        self.limits = {"max_short_side": max_short_side, "max_long_side": max_long_side}
        check_options(self.limits, scales, amp)
        self.model = model = prepare_model(unwrapped(model), device, channels_last)
        self.amp = amp
        self.stages = None if compile is None else CompiledStages(compile, model)
        self.prepared = prepare and compile is None and can_prepare(model)
        flips = (False, True) if flip else (False,)
        self.views = [View(model.init_state(1), scale=scale, flip=mirrored,
                           channels_last=channels_last or self.prepared)
                      for scale in scales for mirrored in flips]

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    @property
    def tracked(self) -> ObjectIds:
        """The objects of the video so far."""
        return self.views[0].state.ids

    def step(self, image: np.ndarray, prompt: np.ndarray | None = None, ids: Iterable[int] | None = None,
             last: bool = False, correct: bool = False) -> np.ndarray:
        """See :meth:`PromptedSession.step`."""
        return self.predict(image, prompt, ids, last, correct).labels

    @torch.no_grad()
    def predict(self, image: np.ndarray, prompt: np.ndarray | None = None, ids: Iterable[int] | None = None,
                last: bool = False, correct: bool = False) -> Prediction:
        """As :meth:`step`, but return logits and probabilities too.

        There are no gradients, but a method may ask for them by ``torch.enable_grad()``, to optimise as it goes.
        """
        given = self.accept(image, prompt, ids, correct)
        if given is None and not self.ids and not self.tracked.retired:
            logits = torch.zeros(1, *self.size, device=self.device)
        else:
            logits = self._logits(image, given, last)
        self.frame_index += 1
        return Prediction(logits, self.ids)

    def remove(self, ids: Iterable[int]) -> None:
        """See :meth:`PromptedSession.remove`."""
        values = check_ids(ids)
        for value in values:
            self.tracked.channel(value)
        for view in self.views:
            self.model.remove_objects(view.state, values)

    def _logits(self, image: np.ndarray, given: GivenMasks | None, last: bool) -> Tensor:
        with self._autocast(), prepared_inference(self.prepared), compiled_inference(self.stages):
            outputs = [view.step(self.model, image, given, limits=self.limits, last=last) for view in self.views]
        check_finite(outputs, self.frame_index)
        logits = outputs[0]
        if len(outputs) > 1:
            logits = (sum(x.softmax(dim=0) for x in outputs) / len(outputs)).clamp(min=1e-12).log()
        if given is None:
            return logits
        prompt = Prompt(ids=given.ids, masks=torch.from_numpy(given.one_hot())[None])  # certain at native size too
        everything = torch.ones(1, len(self.ids), dtype=torch.bool)
        return write_prompt(logits[None], prompt, self.ids, everything)[0]

    def _autocast(self) -> AbstractContextManager:
        dtype = autocast_type(self.amp, self.device)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)


declare_keys("test_session", options_of(VOSSession))


def new_session(model: Any, **options) -> Any:
    """A session for a new video: the model's own kind (``model.new_session(...)``), or a :class:`VOSSession`."""
    model = unwrapped(model)
    own = getattr(model, "new_session", None)
    if own is not None:
        return own(**options)
    known = options_of(VOSSession)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"a session of {type(model).__name__} has no option {unknown[0]!r} (test_session)."
                         f"{did_you_mean(unknown[0], known)} Its options: {', '.join(known)}")
    return VOSSession(model, **options)


def prepare_model(model: nn.Module, device: str | torch.device | None, channels_last: bool) -> nn.Module:
    """Bring a model to a device, a memory format and evaluation mode."""
    if device is not None:
        try:
            model = model.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"device {str(device)!r} cannot be used: {reason}") from error
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model.eval() if model.training else model


def can_prepare(model: nn.Module) -> bool:
    """Get the convolutions of a model ready for packed weights; False where there are none for its device and type."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not has_extension():
        return False
    use_packed_kernels(model)
    return True


def check_finite(logits: Iterable[Tensor], frame: int) -> None:
    """Raise :class:`ModelError` unless every pixel of each (C, H, W) has a largest logit that is a finite number."""
    if not all(bool(torch.isfinite(planes.amax(dim=0)).all()) for planes in logits):
        raise ModelError(f"frame {frame}: the model gives numbers that are not finite (NaN or infinite): the weights "
                         "are damaged, or their type of numbers is too small; use float32, or amp bf16")


def check_options(limits: Mapping[str, int | None], scales: Sequence[float], amp: str | None) -> None:
    """Raise :class:`InputError` if an option of a session has a wrong value."""
    for name, limit in limits.items():
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 16):
            raise InputError(f"{name} must be at least 16 pixels, got {limit!r}")
    if not scales or any(scale <= 0 for scale in scales):
        raise InputError(f"scales must be positive numbers, got {list(scales)}")
    check_amp(amp)


def check_amp(amp: str | None) -> None:
    """Raise :class:`InputError` if ``amp`` is no name of mixed precision."""
    if amp is not None and amp not in AMP_NAMES:
        raise InputError(f"amp must be one of {', '.join(AMP_NAMES)} or None, got {amp!r}")
