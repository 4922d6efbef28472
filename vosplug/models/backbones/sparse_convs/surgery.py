"""Putting sparse convolutions into a finished model: ``nn.Conv2d`` modules are replaced, weights and names stay."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ....registry import FRAME_POLICIES, LOSSES, SEGMENTORS, SPARSE_CONVS
from ....utils.errors import ConfigError
from ...frame_run import current_run, is_training
from ..base import Backbone
from .base import SparseConv
from .dense import DenseConv
from .executors import channels_last
from .policies import Mixed
from .weights import load_dense_weights


@dataclass(frozen=True)
class SparsePart:
    """A part of a segmentor whose convolutions may become sparse; what a segmentor publishes in ``sparse_parts``.

    Patterns are those of file names (``*`` matches dots too) and name ``nn.Conv2d`` modules of the segmentor. The stem
    of a backbone, which sees the frame itself, belongs to none of them.

    Attributes:
        name: of the part, for messages.
        blocks: patterns of the convolutions in its residual blocks.
        outer: patterns of those around the blocks (shortcuts, projections, skip connections, prediction), which become
            sparse with ``everywhere`` only; what matches here is none of the blocks.
        per_frame: patterns of those that run once per frame; the others run once per row.
    """

    name: str
    blocks: tuple[str, ...]
    outer: tuple[str, ...] = ()
    per_frame: tuple[str, ...] = ()

    def inside(self, prefix: str) -> "SparsePart":
        """The same part of a model that has the segmentor under names that begin with ``prefix``."""
        names = {field: tuple(prefix + name if not name.startswith("*") else name for name in getattr(self, field))
                 for field in ("blocks", "outer", "per_frame")}
        return replace(self, **names)

    def convs(self, model: nn.Module, *, outer: bool) -> Iterator[tuple[str, nn.Conv2d]]:
        """Names and modules of the plain convolutions in the blocks, or of those around them."""
        stems = stems_of(model)
        for name, module in model.named_modules():
            if is_replaceable(module) and name not in stems:
                around = matches(name, self.outer)
                if around if outer else matches(name, self.blocks) and not around:
                    yield name, module


def sparsify(model: nn.Module, conv: dict, where: str = "QD", *, everywhere: bool = False) -> list[str]:
    """Replace convolutions of a finished ``model`` by sparse ones, in place.

    Weights (the very parameters), names, device, mode and what is frozen stay; gates are new, with the start values of
    their kind, and are trained, also around frozen weights. In inference frames then reach the stem of a backbone in
    the memory format of the kernels.

    Args:
        model: a segmentor with ``sparse_parts``.
        conv: config (kind ``sparse convolution``).
        where: letters of the parts: Q key encoder (what runs on every frame), D decoder, M value encoder with its
            fuser, as far as the model has them.
        everywhere: also replace what is around the residual blocks (the dagger of SpVOS's Table III).

    Raises:
        ConfigError: the model has no such part, or nothing in it can be replaced.

    Returns:
        Names of the replaced modules.
    """
    replaced = []
    for part in parts_of(model, where):
        found = list(part.convs(model, outer=False))
        if not found:
            raise ConfigError(f"the {part.name} of this {type(model).__name__} has no convolution that could become "
                              f"sparse (looked for {', '.join(part.blocks)})")
        outer = list(part.convs(model, outer=True)) if everywhere else []
        if everywhere and not outer:
            raise ConfigError(f"everywhere=True has no effect on the {part.name} of {type(model).__name__}: leave it "
                              "out, or the letter of the part")
        replaced += replace_convs(model, [*found, *outer], conv, part.per_frame)
    for stem in stems_of(model).values():
        if stem.in_channels == 3 and frame_to_channels_last not in stem._forward_pre_hooks.values():
            stem.register_forward_pre_hook(frame_to_channels_last)
    return replaced


def is_replaceable(module: nn.Module) -> bool:
    """Whether a module is a plain convolution, also one that a session has made ready for packed weights."""
    return type(module) is nn.Conv2d or (type(module) is DenseConv and not module.always)


def use_dense_kernels(model: nn.Module, where: str) -> list[str]:
    """Let the 3x3 convolutions around the residual blocks, which stay dense, run on packed weights in inference.

    Args:
        model, where: as for :func:`sparsify`.

    Returns:
        Names of the replaced modules.
    """
    found = [(name, module) for part in parts_of(model, where) for name, module in part.convs(model, outer=True)
             if module.kernel_size == (3, 3) and module.stride == (1, 1)]
    return replace_convs(model, found, dict(type="DenseConv"))


def parts_of(model: nn.Module, where: str) -> list[SparsePart]:
    """The parts of ``model`` that letters stand for."""
    parts: Mapping[str, SparsePart] = getattr(model, "sparse_parts", {})
    if not parts:
        raise ConfigError(f"{type(model).__name__} publishes no sparse_parts: it does not say which of its "
                          "convolutions may become sparse")
    if not where or set(where) - set(parts) or len(set(where)) < len(where):
        letters = ", ".join(f"{letter} ({part.name})" for letter, part in parts.items())
        raise ConfigError(f"where must consist of some of the letters {letters}, got {where!r}")
    return [parts[letter] for letter in where]


def replace_convs(model: nn.Module, convs: Iterable[tuple[str, nn.Conv2d]], config: dict,
                  per_frame: Iterable[str] = ()) -> list[str]:
    """Put drop-ins of ``config`` into the places of ``convs``; return their names."""
    names = []
    for name, old in convs:
        if old.padding_mode != "zeros":
            raise ConfigError(f"{name}: sparse convolutions pad with zeros, not by {old.padding_mode!r}")
        new = SPARSE_CONVS.build(config, in_channels=old.in_channels, out_channels=old.out_channels,
                                 kernel_size=old.kernel_size, stride=old.stride, padding=old.padding,
                                 dilation=old.dilation, groups=old.groups, bias=old.bias is not None)
        new.to(device=old.weight.device, dtype=old.weight.dtype)
        new.weight, new.bias = old.weight, old.bias
        if isinstance(new, SparseConv):
            new.name, new.per_frame = name, matches(name, per_frame)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, new.train(old.training))
        names.append(name)
    return names


def stems_of(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The first convolutions of the backbones of ``model``, by name."""
    return {f"{name}.{module.stem}": module.get_submodule(module.stem) for name, module in model.named_modules()
            if isinstance(module, Backbone)}


def frame_to_channels_last(stem: nn.Conv2d, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """A hook before a stem: in inference the pyramid is made in the memory format of the kernels, without copies."""
    if current_run() is None or torch.is_grad_enabled() or is_training(stem):
        return None
    return tuple(channels_last(x) for x in inputs)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@SEGMENTORS.modifier("sparse")
def make_sparse(model: nn.Module, conv: dict, where: str = "QD", policy: dict | None = None, everywhere: bool = False,
                losses: list[dict] | None = None, dense_weights: str | None = None,
                dense_kernels: bool = False) -> None:
    """Make a finished segmentor sparse: the key ``sparse`` of its config (SpVOS).

    Args:
        model: the segmentor.
        conv, where, everywhere: see :func:`sparsify`.
        policy: config (kind ``frame policy``) of what says which frames are dense; ``Mixed`` if None.
        losses: configs of losses on what the layers compute.
        dense_weights: checkpoint of the dense twin to start from; gates keep their initial values.
        dense_kernels: in inference the 3x3 convolutions of these parts that stay dense (projections, skip convolutions,
            shortcuts of the decoder) run on the compiled kernels too.

    Raises:
        ConfigError: an option has no effect, or the model has no such part.
    """
    frame_policy = FRAME_POLICIES.build(policy or dict(type="Mixed"))
    if "M" in where and isinstance(frame_policy, Mixed):
        raise ConfigError("where='...M' has no effect under policy Mixed: the value encoder runs on memory frames "
                          "only, and those are dense; use Fully or SemiMixed, or leave M out")
    sparsify(model, conv, where, everywhere=everywhere)
    if dense_kernels and (everywhere or not use_dense_kernels(model, where)):
        raise ConfigError("dense_kernels=True has no effect: it is for 3x3 convolutions around the residual blocks, "
                          f"and none stays dense with everywhere={everywhere} and where={where!r}; leave it out")
    model.frame_policies.append(frame_policy)
    model.losses.extend(LOSSES.build(loss) for loss in losses or [])
    if dense_weights:
        load_dense_weights(model, dense_weights)
