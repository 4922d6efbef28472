"""What FRTM keeps of an object: a small model of its looks, and the samples that it is learnt from."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ...registry import LAYERS, MEMORIES
from ...structures import Rows
from ...utils.errors import ConfigError, InputError
from ...utils.seeds import generator_of
from ..layers.aggregate import full_precision
from ..online import GaussNewtonCG, LayersProblem, filter_scores, label_stencil
from .base import Memory, MemoryState, Similarity, check_counts
from .entry import MemoryEntry
from .target import Target
from .target_cache import TargetCache

FIRST_WEIGHT = 2.0  # of the frame itself among the samples made of it
WEIGHTINGS = ("hinge", "none")


@MEMORIES.register_module(role="target", examples=lambda: [
    dict(augmentation=LAYERS.example("CutAndPaste"), channels=4, init_iters=(2, 2), update_iters=(2,), update_every=2,
         capacity=6, train=dict(channels=3, update_every=None, filter_reg=(1e-5, 1e-4), precond=(1e-5, 1e-4),
                                forgetting=75, pixel_weighting="none")),
    dict(augmentation=LAYERS.example("CutAndPaste"), channels=4, init_iters=(2,), update_iters=(2,), update_every=2,
         capacity=6, keep_first=True)])
class TargetModel(Memory):
    """Policy of FRTM (Robinson et al., CVPR 2020, sections 3.1 and 3.4): a target model per object, learnt online.

    A target model is a 1x1 projection and a 3x3 filter from features to a score that is 1 on the object and 0
    elsewhere. Both are learnt where the object starts, from several samples of its frame; later the filter alone,
    from what is predicted. The equation of the loss: :mod:`~vosplug.models.online.target_problem`. All of it runs in
    float32 at least. FRTM and FRTM-fast are values of the options.

    The policy holds no tensors; :meth:`new` gives the target models of one video.

    Args:
        augmentation: config (kind ``layer``) of what makes samples of the first frame.
        channels: of the projection.
        init_iters: conjugate-gradient iterations of each Gauss-Newton step on both layers.
        update_iters: the same for the filter, after that and at every update.
        update_every: every so many classified frames the filter is learnt again; None: never.
        capacity: number of samples that are kept.
        learning_rate: how much a new sample weighs.
        filter_reg, precond: penalties and preconditioners of the two layers.
        formula, forgetting, reset_direction: see :class:`~..online.GaussNewtonCG`.
        pixel_weighting: ``hinge`` makes an object that is smaller count like ``foreground_share`` of the frame;
            ``none``.
        min_pixels: frames with fewer pixels of the object leave no sample.
        count_first: the first frame counts as classified, so that updates come one frame earlier.
        keep_first: samples of the given mask are never overwritten and keep the share ``first_share`` of the weight;
            the published rule forgets them after some ninety samples.
        first_share: see ``keep_first``.
        seed: of the random numbers, which also depend on object id and frame, and on nothing else.
        cache_dir: folder for target models of first frames, which are then learnt once; see :class:`TargetCache`.
        train: options that are different for training clips.
    """

    def __init__(self, augmentation: dict | None = None, channels: int = 96,
                 init_iters: Sequence[int] = (5, 10, 10, 10, 10), update_iters: Sequence[int] = (10,),
                 update_every: int | None = 8, capacity: int = 80, learning_rate: float = 0.1,
                 filter_reg: tuple[float, float] = (1e-4, 1e-2), precond: tuple[float, float] = (1e-4, 1e-2),
                 formula: str = "polak_ribiere", forgetting: float = 750, reset_direction: bool = False,
                 pixel_weighting: str = "hinge", foreground_share: float = 0.1, min_pixels: int = 10,
                 count_first: bool = False, keep_first: bool = False, first_share: float = 0.25,
                 seed: int = 0, cache_dir: str | None = None, train: dict | None = None):
        options = {name: value for name, value in locals().items() if name not in ("self", "train")}
        check_counts(self, optional=("update_every",), channels=channels, capacity=capacity, min_pixels=min_pixels,
                     update_every=update_every)
        for name, value in (("learning_rate", learning_rate), ("first_share", first_share),
                            ("foreground_share", foreground_share)):
            if not 0 < value < 1:
                raise ConfigError(f"TargetModel.{name} must lie between 0 and 1, got {value}")
        if pixel_weighting not in WEIGHTINGS:
            raise ConfigError(f"TargetModel.pixel_weighting must be one of {', '.join(WEIGHTINGS)}, "
                              f"got {pixel_weighting!r}")
        self.augmentation = LAYERS.build(augmentation or dict(type="CutAndPaste"))
        if update_every is not None and capacity <= self.augmentation.count:
            raise ConfigError(f"TargetModel.capacity must be above the {self.augmentation.count} samples of the first "
                              f"frame, got {capacity}")
        self.learning_rate, self.init_iters, self.update_iters = learning_rate, tuple(init_iters), tuple(update_iters)
        self.foreground_share = foreground_share
        self.filter_reg, self.pixel_weighting = tuple(filter_reg), pixel_weighting
        self.count_first, self.keep_first, self.first_share, self.seed = count_first, keep_first, first_share, seed
        both = dict(formula=formula, forgetting=forgetting, reset_direction=reset_direction)
        self.optimiser = GaussNewtonCG(precond, **both)
        self.filter_optimiser = GaussNewtonCG(precond[1:], **both)
        self.cache = None
        if cache_dir is not None:
            self.cache = TargetCache(cache_dir, {name: x for name, x in options.items() if name != "cache_dir"})
        self.for_training = None if train is None else TargetModel(**{**options, **train})

    def new(self, training: bool = False, similarity: Similarity | None = None) -> "TargetModelState":
        """Return the target models of one video, or of one batch of training clips: none yet. Nothing is compared."""
        return TargetModelState(self.for_training if training and self.for_training else self)

    def pixel_weights(self, masks: Tensor) -> Tensor:
        """(N, H, W) masks of 0 and 1 -> the weights W of their pixels, finite whatever the size of the object."""
        if self.pixel_weighting == "none":
            return torch.ones_like(masks)
        pixels = masks.sum(dim=(1, 2))
        share = pixels / masks[0].numel()
        share = torch.where(pixels < self.min_pixels, self.foreground_share, share)
        wanted = share.clamp(min=self.foreground_share)
        inside = (wanted / share).sqrt()
        outside = ((1 - wanted) / (1 - share).clamp(min=torch.finfo(share.dtype).tiny)).sqrt()
        return torch.where(masks > 0.5, inside[:, None, None], outside[:, None, None])


class TargetModelState(MemoryState):
    """The target models of one video. See :class:`TargetModel` for the policy.

    They are learnt (:meth:`start`, :meth:`update`), not written; there are no entries that a read-out could read.
    """

    def __init__(self, policy: TargetModel):
        self.policy = policy
        self.targets: dict[tuple[int, int], Target] = {}

    # The protocol of memories -----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[MemoryEntry]:
        return iter(())

    def add(self, entry: MemoryEntry) -> None:
        """Refused: see the class."""
        raise InputError("target models are learnt from features and masks, not from memory entries")

    @property
    def tokens(self) -> int:
        """Number of cells that samples are kept of."""
        return sum(target.used * target.target[0].numel() for target in self.targets.values())

    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Whether something is learnt from frame number ``frame``: always but from the last one."""
        return not last

    def is_kept(self, frame: int, prompted: bool) -> bool:
        """Whether the filters of objects that started with the video are learnt again; other frames leave samples."""
        every = self.policy.update_every
        return prompted or (every is not None and (frame + self.policy.count_first) % every == 0)

    def keep_objects(self, keep: Tensor) -> None:
        """Drop the target models of all object channels but ``keep`` (sorted channel numbers)."""
        places = {channel: place for place, channel in enumerate(keep.tolist())}
        self.targets = {(b, places[channel]): target for (b, channel), target in self.targets.items()
                        if channel in places}

    # Target models ----------------------------------------------------------------------------------------------------

    def of(self, rows: Rows) -> list[Target]:
        """The target models of ``rows``."""
        return [self.targets[cell] for cell in zip(rows.batch.tolist(), rows.slot.tolist(), strict=True)]

    def project(self, features: Tensor, rows: Rows) -> Tensor:
        """(B, Cin, h, w) -> projected features (R, C, h, w)."""
        x = full_precision(features).flatten(2)
        maps = [target.project.flatten(1) @ x[b] for target, b in zip(self.of(rows), rows.batch.tolist(), strict=True)]
        return torch.stack(maps).unflatten(2, features.shape[-2:])

    def score(self, hidden: Tensor, rows: Rows) -> Tensor:
        """Projected features (R, C, h, w) -> scores (R, 1, h, w)."""
        scores = [filter_scores(x[None], target.filter) for x, target in zip(hidden, self.of(rows), strict=True)]
        return torch.stack(scores)

    def start(self, cell: tuple[int, int], name: tuple, features: Tensor, masks: Tensor) -> None:
        """Learn a target model from samples of the frame on which an object starts.

        Args:
            cell: video and channel of the object.
            name: what random numbers are made of: (object id, frame).
            features: (N, Cin, h, w) of the samples.
            masks: (N, H, W) of 0 and 1.
        """
        policy, features = self.policy, full_precision(features)
        masks = masks.to(features)
        count, device, dtype = len(features), features.device, features.dtype
        stencil, target = label_stencil(masks, policy.pixel_weights(masks), features.shape[-2:])
        weights = torch.ones(count, dtype=dtype, device=device)
        weights[0] = FIRST_WEIGHT if count > 1 else 1.0
        weights /= weights.sum()
        project, kernel = (p.to(features) for p in self.initial(name, features.shape[1]))
        problem = LayersProblem(features, stencil, target, weights, policy.filter_reg)
        project, kernel = policy.optimiser.run(problem, [project, kernel], policy.init_iters, watch=self.watch(name))
        hidden = project.flatten(1) @ features.flatten(2)
        room = policy.capacity if policy.update_every is not None else count
        model = Target(project, kernel, hidden.unflatten(2, features.shape[-2:]), stencil, target, weights.cpu(),
                       used=count, first=count, seen=int(policy.count_first))
        self.targets[cell] = model.resized(room)
        self.learn(model)

    def keep(self, cell: tuple[int, int], key: str) -> None:
        """Write a target model that was just started into the cache of the policy."""
        self.policy.cache.write(key, self.targets[cell].packed())

    def recall(self, cell: tuple[int, int], key: str, device: torch.device) -> bool:
        """Take a target model from the cache of the policy, as if it had just been started; False if it has none."""
        found = self.policy.cache.read(key)
        if found is not None:
            model = Target.unpacked(found, device)
            room = self.policy.capacity if self.policy.update_every is not None else model.used
            self.targets[cell] = model.resized(room)
        return found is not None

    def initial(self, name: tuple, in_channels: int) -> list[Tensor]:
        """Projection and filter to start from, drawn for this object and frame: uniform, by fan-in."""
        random = generator_of(self.policy.seed, *name)
        shapes = ((self.policy.channels, in_channels, 1, 1), (1, self.policy.channels, 3, 3))
        bounds = (shape[1] * shape[2] * shape[3] for shape in shapes)
        return [torch.from_numpy(random.uniform(-1, 1, shape) / fan_in ** 0.5)
                for shape, fan_in in zip(shapes, bounds, strict=True)]

    def watch(self, name: tuple) -> Callable[[list[Tensor]], None] | None:
        """What is called with the parameters after every Gauss-Newton step of the object ``name``."""
        return None

    def update(self, model: Target, hidden: Tensor, mask: Tensor) -> None:
        """Keep a classified frame as a sample, and learn the filter again if it is time.

        Args:
            model: of the object.
            hidden: (C, h, w) projected features of the frame.
            mask: (H, W) soft mask that was predicted.
        """
        policy = self.policy
        model.seen += 1
        mask = mask.to(hidden)
        if policy.update_every is None or int((mask > 0.5).sum()) < policy.min_pixels:
            return
        weights = policy.pixel_weights((mask > 0.5).to(hidden)[None])
        stencil, target = label_stencil(mask[None], weights, hidden.shape[-2:])
        slot = self.next_slot(model)
        model.hidden[slot], model.stencil[slot], model.target[slot] = hidden, stencil[0], target[0]
        if model.seen % policy.update_every == 0:
            self.learn(model)

    def next_slot(self, model: Target) -> int:
        """Slot of the next sample, and the weights of all of them: a new sample weighs more than those before it."""
        policy, weights = self.policy, model.weights
        lowest = model.first if policy.keep_first else 0
        slot = model.used if model.used < policy.capacity else lowest + int(weights[lowest:].argmin())
        if model.previous is None:
            weights /= 1 - policy.learning_rate
            weights[slot] = policy.learning_rate
        else:
            weights[slot] = weights[model.previous] / (1 - policy.learning_rate)
        weights /= weights.sum()
        if policy.keep_first:
            weights[:lowest] *= policy.first_share / weights[:lowest].sum()
            weights[lowest:] *= (1 - policy.first_share) / weights[lowest:].sum()
        model.used, model.previous = max(model.used, slot + 1), slot
        return slot

    def learn(self, model: Target) -> None:
        """Learn the filter from all samples."""
        policy = self.policy
        model.filter, = policy.filter_optimiser.run(model.problem(policy.filter_reg[1]), [model.filter],
                                                    policy.update_iters, model.direction)
