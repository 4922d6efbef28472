"""One scale and orientation in which a video is segmented."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..models.layers.aggregate import full_precision
from ..structures import Prompt, VideoState
from .given_masks import GivenMasks


@dataclass
class View:
    """One scale and orientation of a video, with its own state. Views of a session run in lockstep.

    The preprocessor of the model brings frames and masks to the size of the network and logits back; a view mirrors
    what it made.

    Attributes:
        state: state of the model for this view.
        scale: factor on the size at which frames are segmented.
        flip: mirrored left-right.
        channels_last: memory format of the frames.
        features: names of what the model shall publish of its inside to its observers, see
            :meth:`~vosplug.models.segmentors.base.VOSSegmentor.step`.
    """

    state: VideoState
    scale: float = 1.0
    flip: bool = False
    channels_last: bool = False
    features: Collection[str] = ()

    def step(self, model: nn.Module, image: np.ndarray, given: GivenMasks | None, *,
             limits: Mapping[str, int | None], last: bool) -> Tensor:
        """Segment one frame.

        Args:
            model: the segmentor.
            image: (H, W, 3) uint8 RGB at native size.
            given: masks of the objects that start here.
            limits: ``max_short_side`` and ``max_long_side`` of the preprocessor's geometry.
            last: no frame follows.

        Returns:
            Logits (O + 1, H, W) at native size, float32 or float64.
        """
        preprocessor = model.data_preprocessor
        geometry = preprocessor.geometry(image.shape[:2], scale=self.scale, **limits)
        upright = geometry.mirrored() if self.flip else geometry  # so that the mirrored frame is padded as any other
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
        frame = self._mirror(preprocessor.frames(pixels, upright)[0])
        prompt = None
        if given is not None:
            native = torch.from_numpy(given.one_hot()).to(frame)[None]
            prompt = Prompt(ids=given.ids, masks=self._mirror(preprocessor.masks(native, upright)),
                            native=self._mirror(native), correct=given.correct)
        if self.channels_last:
            frame = in_channels_last(frame)
        output = model.step(self.state, frame, prompt, geometry=geometry, last=last, features=self.features)
        return preprocessor.restore(self._mirror(full_precision(output.logits)), upright)[0]

    def _mirror(self, x: Tensor) -> Tensor:
        return x.flip(-1) if self.flip else x


def in_channels_last(x: Tensor) -> Tensor:
    """(1, C, H, W) in channels_last, also in its first stride, by which the library chooses kernels."""
    x = x.contiguous(memory_format=torch.channels_last)
    return x if x.stride(0) == x.numel() else x.clone(memory_format=torch.channels_last)
