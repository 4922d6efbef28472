"""The batch sampler of training: an infinite, resumable stream of clip requests."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info

from ..registry import DATA_SAMPLERS
from ..utils.errors import ConfigError
from .curriculum import Curriculum, Phase
from .sampling import ClipRequest, draw_seed


@DATA_SAMPLERS.register_module()
class ClipBatchSampler:
    """Yield, without end, the list of :class:`ClipRequest` of each iteration for one rank.

    The requests of iteration ``i`` are a function of the arguments and ``i`` alone: a run that is resumed with
    :meth:`set_iteration` draws what the uninterrupted run would have drawn, and batches that workers prefetch have the
    settings of the iteration that they are for.

    All ranks together draw items ``0, 1, 2, ...``; item ``n`` is entry ``n % len(dataset)`` of the permutation that
    belongs to epoch ``n // len(dataset)``, so each epoch holds every clip once, whatever the batch size, and only the
    border between two epochs may fall inside a batch. With weights, the source and the clip are chosen at random.

    Args:
        dataset: a clip data set; weights need one with ``source_ranges`` (:class:`MixedClips`).
        batch_size: clips per process and iteration.
        length: frames per clip (T).
        max_skip: largest distance of two frames that follow each other, in frames of the original video.
        seed: seed of the run.
        rank, world_size: this process and their number; by default those of the running process group.
        weights: relative frequency of each source of a :class:`MixedClips`; None for shuffled epochs.
        sampler: for runners that build a batch sampler around a sampler: its ``dataset`` is used if none is given.

    Raises:
        ConfigError: an argument is out of range, or weights do not fit the data set.
    """

    def __init__(self, dataset: Sized | None = None, batch_size: int = 4, length: int = 3, max_skip: int = 10,
                 seed: int = 0, rank: int | None = None, world_size: int | None = None,
                 weights: Sequence[float] | None = None, sampler: Any = None):
        dataset = getattr(sampler, "dataset", None) if dataset is None else dataset
        if dataset is None or len(dataset) == 0:
            raise ConfigError("ClipBatchSampler needs a data set with at least one clip")
        here, count = get_dist_info()
        self.dataset = dataset
        self.seed = seed
        self.rank = here if rank is None else rank
        self.world_size = count if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank {self.rank} must lie in 0..{self.world_size - 1}")
        self._base = Phase(0, max_skip, length, batch_size, None if weights is None else tuple(weights))
        self._iteration = 0
        self._orders: dict[int, np.ndarray] = {}
        self.set_curriculum((), None)

    @property
    def batch_size(self) -> int:
        """Clips per process at the iteration that comes first."""
        return self.curriculum_at(self._iteration).batch_size

    def set_curriculum(self, phases: Sequence[Mapping[str, Any]], total_iterations: int | None = None) -> None:
        """Set the phases (see :class:`vosplug.datasets.curriculum.Curriculum`); takes effect at the next ``iter()``."""
        curriculum = Curriculum(self._base, phases, total_iterations)
        for phase in curriculum.phases:
            self._check_weights(phase.weights)
        self._curriculum = curriculum

    def set_iteration(self, iteration: int) -> None:
        """Let the next ``iter()`` begin at ``iteration``."""
        if iteration < 0:
            raise ConfigError(f"iteration must be >= 0, got {iteration}")
        self._iteration = iteration

    def curriculum_at(self, iteration: int) -> Phase:
        """Settings of ``iteration``: ``max_skip``, ``length``, ``batch_size``, ``weights``."""
        return self._curriculum.at(iteration)

    def requests_at(self, iteration: int) -> list[ClipRequest]:
        """The requests of this rank at ``iteration``."""
        return self._requests(self._curriculum, iteration)

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        curriculum, iteration = self._curriculum, self._iteration
        while True:
            yield self._requests(curriculum, iteration)
            iteration += 1

    def _requests(self, curriculum: Curriculum, iteration: int) -> list[ClipRequest]:
        phase = curriculum.at(iteration)
        first = curriculum.items_before(iteration) * self.world_size
        draws = [first + slot * self.world_size + self.rank for slot in range(phase.batch_size)]
        return [ClipRequest(self._index(draw, phase), draw_seed(self.seed, draw), phase.length, phase.max_skip)
                for draw in draws]

    def _index(self, draw: int, phase: Phase) -> int:
        if phase.weights is not None:
            return self._weighted_index(draw, phase.weights)
        epoch, place = divmod(draw, len(self.dataset))
        return int(self._order(epoch)[place])

    def _weighted_index(self, draw: int, weights: Sequence[float]) -> int:
        rng = np.random.default_rng((self.seed, 1, draw))
        source = rng.choice(len(weights), p=np.asarray(weights) / np.sum(weights))
        begin, end = self.dataset.source_ranges[source]
        return int(rng.integers(begin, end))

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            rng = np.random.default_rng((self.seed, 0, epoch))
            kept = {number: order for number, order in self._orders.items() if abs(number - epoch) == 1}
            self._orders = {**kept, epoch: rng.permutation(len(self.dataset))}
        return self._orders[epoch]

    def _check_weights(self, weights: Sequence[float] | None) -> None:
        if weights is None:
            return
        ranges = getattr(self.dataset, "source_ranges", None)
        if ranges is None:
            raise ConfigError(f"weights need a data set with several sources (MixedClips), "
                              f"got {type(self.dataset).__name__}")
        if len(weights) != len(ranges):
            raise ConfigError(f"{len(weights)} weights for {len(ranges)} sources")
