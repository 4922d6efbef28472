"""What all backbones share: named levels, weights to start from, what is not trained."""

import logging
from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...structures import Level
from ...utils.checkpoint import load_checkpoint_file, load_weights, model_state
from ...utils.errors import ConfigError, InputError
from ..layers.build import FrozenBN
from .pretrained import Published, find_weights, weights_are_needed

LOGGER = logging.getLogger("vosplug")


class Backbone(nn.Module):
    """A chain of steps from a frame to its coarsest map, of which some are published as named levels.

    A backbone fills ``steps``, ``levels`` and ``stages``, computes one step in :meth:`advance`, and calls
    :meth:`finish` at the end of its constructor.

    Args:
        freeze_norm_stats: batch norms use their running statistics in training too, as STCN and XMem train. Those of
            frozen stages always do.

    Attributes:
        steps: names of the steps, in order.
        levels: name -> level of the steps that ``forward`` returns, in order: ``c1`` (stride 2) ... ``c5``.
        stages: what ``frozen_stages`` counts: modules of the stem, of the first stage, ...
        stem: name of the first convolution.
        unused: beginnings of names in files of weights -> why the network does not need them.
        is_random: no weights have been loaded, neither its own nor those of a model that it is part of.
    """

    stem = "conv1"
    unused: Mapping[str, str] = {}
    is_random = True

    def __init__(self, freeze_norm_stats: bool = True):
        super().__init__()
        self.freeze_norm_stats, self.frozen_stages = freeze_norm_stats, 0
        self.steps: tuple[str, ...] = ()
        self.levels: dict[str, Level] = {}

    @property
    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """The modules of the stem, of the first stage, of the second, ..."""

    @property
    def published(self) -> Published | None:
        """ImageNet weights that others have published for a network of these sizes; None if there are none."""
        return None

    @abstractmethod
    def advance(self, step: str, x: Tensor) -> Tensor:
        """Compute a step of what the step before it gave, the first one of the frame."""

    # The pyramid ----------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, upto: str | None = None) -> dict[str, Tensor]:
        """(N, in_channels, H, W) -> {level: (N, C, H/stride, W/stride)}, sizes rounded up.

        Args:
            upto: the last level that is wanted; None computes all.
        """
        return self._go_on({}, x, 0, upto)

    def extend(self, pyramid: Mapping[str, Tensor], upto: str | None = None) -> dict[str, Tensor]:
        """The pyramid with what lies behind its last level; levels that are there are not computed again.

        Raises:
            InputError: the pyramid has no level of this backbone to go on from.
        """
        present = [name for name in self.levels if name in pyramid]
        if not present:
            raise InputError(f"{type(self).__name__}.extend goes on from a level ({', '.join(self.levels)}), but the "
                             f"pyramid has {', '.join(pyramid) or 'none'}: compute the first ones by forward")
        return self._go_on(dict(pyramid), pyramid[present[-1]], self.steps.index(present[-1]) + 1, upto)

    def _go_on(self, pyramid: dict[str, Tensor], x: Tensor, start: int, upto: str | None) -> dict[str, Tensor]:
        if upto is not None and upto not in self.levels:
            raise ConfigError(f"{type(self).__name__} has no level {upto!r}; its levels: {', '.join(self.levels)}")
        stop = len(self.steps) if upto is None else self.steps.index(upto) + 1
        for step in self.steps[start:stop]:
            x = self.advance(step, x)
            if step in self.levels:
                pyramid[step] = x
        return pyramid

    # Weights and what is trained ------------------------------------------------------------------------------------

    def finish(self, weights: str | None = None, frozen_stages: int = 0) -> None:
        """Initialise or load the weights, and freeze what is not trained.

        Args:
            weights: state dict to start from: the path of a file or folder, or ``imagenet``, see
                :func:`~.pretrained.find_weights`. It is not looked for within :func:`~.pretrained.weights_follow`.
            frozen_stages: the stem (1 and more) and the stages up to this number, itself included, are not trained.
        """
        last = len(self.stages) - 1
        if not 0 <= frozen_stages <= last:
            raise ConfigError(f"{type(self).__name__}.frozen_stages must lie in 0..{last}, got {frozen_stages}")
        self.reset_parameters()
        if weights and weights_are_needed():
            self.load_pretrained(str(find_weights(weights, self.published, type(self).__name__)))
        self.frozen_stages = frozen_stages
        for module in self.frozen():
            module.requires_grad_(False)
        self.train()  # a new module is in training mode without having been told so

    def frozen(self) -> list[nn.Module]:
        """The modules of the stages that are not trained."""
        stages = self.stages[: self.frozen_stages + 1] if self.frozen_stages else ()
        return [module for stage in stages for module in stage]

    def reset_parameters(self) -> None:
        """He initialisation of all convolutions."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def load_pretrained(self, path: str) -> None:
        """Load the weights of a file, see :meth:`load_state`.

        Raises:
            CheckpointError: the file cannot be read or belongs to another network.
        """
        self.load_state(self.own_names(model_state(load_checkpoint_file(path))), path)

    def load_state(self, given: Mapping[str, Tensor], path: str) -> None:
        """Load weights strictly, after what two kinds of files may differ in has been settled.

        What ``unused`` names is left out. A stem with more input channels keeps its own weights for those. Biases of
        convolutions that the file lacks become zero; counters of batch norms that the file lacks keep their start
        value, and those that frozen norms lack are left out.

        Args:
            given: by name.
            path: of the file that they are from.

        Raises:
            CheckpointError: they belong to another network.
        """
        left_out = {name for name in given if name.startswith(tuple(self.unused))}
        state = {name: value for name, value in given.items() if name not in left_out}
        self._widen_stem(state)
        for name, module in self.named_modules():
            counter = f"{name}.num_batches_tracked"
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                state.setdefault(f"{name}.bias", torch.zeros_like(module.bias))
            if getattr(module, "num_batches_tracked", None) is not None:
                state.setdefault(counter, module.num_batches_tracked)
        drop_counters(self, state)
        load_weights(self, state)
        reasons = [f"{prefix}* ({why})" for prefix, why in self.unused.items()
                   if any(name.startswith(prefix) for name in left_out)]
        LOGGER.info("%s: %d of the %d tensors of %s loaded%s", path, sum(name in given for name in state), len(state),
                    type(self).__name__, f"; left out: {', '.join(reasons)}" if reasons else "")

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        self.is_random = False
        super()._load_from_state_dict(*args, **kwargs)

    def own_names(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a published file by the names of this network: those of the file, unless told otherwise."""
        return given

    def _widen_stem(self, state: dict[str, Tensor]) -> None:
        """Complete the weights of a stem that has fewer input channels than ours."""
        name = f"{self.stem}.weight"
        stem, given = self.get_parameter(name).detach().clone(), state.get(name)
        fits = given is not None and given.ndim == 4 and given[:, 0].shape == stem[:, 0].shape
        if fits and given.shape[1] < stem.shape[1]:
            stem[:, : given.shape[1]] = given
            state[name] = stem

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        for part in ([self] if self.freeze_norm_stats else self.frozen()) if mode else ():
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def level_of_stride(levels: Mapping[str, Level], stride: int, method: str) -> str:
    """Name of the last level of a stride; :class:`ConfigError` that ``method`` lacks it if there is none."""
    names = [name for name, level in levels.items() if level.stride == stride]
    if not names:
        raise ConfigError(f"{method} needs a level of stride {stride}, but the backbone has "
                          f"{', '.join(f'{name} ({level.stride})' for name, level in levels.items())}")
    return names[-1]


def drop_counters(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Leave out the counters of batch norms that are frozen in ``network`` and have none."""
    for name, module in network.named_modules():
        if isinstance(module, FrozenBN):
            state.pop(f"{name}.num_batches_tracked", None)
