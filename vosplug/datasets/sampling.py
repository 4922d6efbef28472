"""What a clip data set is asked for, and the random numbers that belong to a request."""

from dataclasses import dataclass

import numpy as np

from ..utils.errors import InputError


@dataclass(frozen=True)
class ClipRequest:
    """One clip to be made. A clip is a pure function of the data set and its request.

    Every clip data set has ``__len__`` and ``__getitem__(request) -> dict(inputs, data_samples)`` with ``inputs`` a
    (T, 3, H, W) uint8 RGB tensor and ``data_samples`` a :class:`vosplug.structures.ClipSample`. It may use no random
    numbers but those of :meth:`rng`; then any number of workers and a resumed run see the same data.

    Attributes:
        index: which item of the data set.
        seed: 0 .. 2**63 - 1, different for every draw of a run.
        length: number of frames T.
        max_skip: largest distance of two frames that follow each other, in frames of the original video.
    """

    index: int
    seed: int
    length: int = 3
    max_skip: int = 10

    def __post_init__(self):
        if self.index < 0 or self.seed < 0:
            raise InputError(f"a clip request needs index and seed >= 0, got {self.index} and {self.seed}")
        if self.length < 1 or self.max_skip < 1:
            raise InputError(f"a clip request needs length and max_skip >= 1, got {self.length} and {self.max_skip}")

    def rng(self) -> np.random.Generator:
        """A fresh generator for this request: always the same stream of numbers."""
        return np.random.default_rng((self.seed, self.index, self.length, self.max_skip))


def draw_seed(seed: int, draw: int) -> int:
    """Seed of draw number ``draw`` of a run with ``seed``: 63 well mixed bits."""
    return int(np.random.SeedSequence((seed, draw)).generate_state(1, np.uint64)[0] >> 1)
