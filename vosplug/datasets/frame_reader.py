"""Reading frames, with a bounded memory of what was read last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np

from ..structures import Video
from ..utils.errors import ConfigError
from ..utils.images import REDUCTIONS, read_image


class FrameReader:
    """Decode frames and masks; keep the most recently used ones up to a number of MiB.

    Worth its memory for sets that fit; each worker process has its own. Arrays are read-only, as they are shared.

    Args:
        cache_mib: bound of the memory; 0 keeps nothing.
        decode_reduction: 1 decodes pictures in full; 2, 4 or 8 decode them at that part of their size, which is faster
            for JPEG but is not the same as shrinking the full picture.
    """

    def __init__(self, cache_mib: float = 0, decode_reduction: int = 1):
        if cache_mib < 0:
            raise ConfigError(f"cache_mib must be >= 0, got {cache_mib}")
        if decode_reduction not in REDUCTIONS:
            raise ConfigError(f"decode_reduction must be 1, 2, 4 or 8, got {decode_reduction}")
        self.limit = int(cache_mib * 2**20)
        self.decode_reduction = decode_reduction
        self.held_bytes = 0
        self._held: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def image(self, video: Video, index: int) -> np.ndarray:
        """Frame ``index`` of ``video`` as (H, W, 3) uint8 RGB."""
        if self.decode_reduction == 1:
            return self.get(("image", video.image_paths[index]), lambda: video.read_frame(index))
        path = Path(video.image_paths[index])
        return self.get(("image", path), lambda: read_image(path, self.decode_reduction))

    def labels(self, video: Video, index: int) -> np.ndarray:
        """Mask of frame ``index`` of ``video`` as (H, W) uint8."""
        return self.get(("labels", video.mask_paths[index]), lambda: video.read_labels(index))

    def get(self, key: Hashable, read: Callable[[], np.ndarray]) -> np.ndarray:
        """The array kept under ``key``, or what ``read`` returns."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        array = read()
        array.flags.writeable = False
        if array.nbytes <= self.limit:
            self._held[key] = array
            self.held_bytes += array.nbytes
            while self.held_bytes > self.limit:
                self.held_bytes -= self._held.popitem(last=False)[1].nbytes
        return array
