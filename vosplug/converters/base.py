"""Renaming the weights of published checkpoints."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..utils.checkpoint import model_state
from ..utils.errors import CheckpointError


@dataclass
class Conversion:
    """Result of a conversion.

    Attributes:
        state: weights by our names.
        sources: our name -> name in the source.
        dropped: source names that are left out on purpose, with the reason.
        unknown: source names that no rule covers.
        kept: our names of weights in ``state`` that are not the source's but the model's own, with the reason.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def coverage(self) -> str:
        """One line: how many of the source's weights found a place."""
        converted = len(self.state) - len(self.kept)
        total = converted + len(self.dropped) + len(self.unknown)
        text = f"{converted} of {total} weights converted"
        if self.dropped:
            text += f", {len(self.dropped)} left out on purpose ({'; '.join(sorted(set(self.dropped.values())))})"
        if self.unknown:
            text += f", {len(self.unknown)} unknown: {', '.join(self.unknown[:4])}"
        if self.kept:
            text += f"; {len(self.kept)} weights of the model start anew ({'; '.join(sorted(set(self.kept.values())))})"
        return text


class Converter:
    """Renames by the first rule that matches.

    Attributes:
        rules: pairs of a regular expression for the whole source name and its replacement.
        drop: pairs of a regular expression and the reason why such weights have no place in our model.
        model_config: name of the config of the model that the weights fit.
        state_key: under which the source's files keep the weights, if not under ``state_dict``.
        backbone_prefix: of the source's names of the backbone, if its published files lack it: then its weights come
            from a file of their own.
    """

    rules: Sequence[tuple[str, str]] = ()
    drop: Sequence[tuple[str, str]] = ()
    model_config: str = ""
    state_key: str | None = None
    backbone_prefix: str | None = None

    def weights_of(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The weights in a published file."""
        inner = checkpoint.get(self.state_key)
        return model_state(inner if isinstance(inner, Mapping) else checkpoint)

    def with_backbone(self, state: Mapping[str, Tensor], backbone: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The weights of a published file, completed by those of its backbone.

        Raises:
            CheckpointError: the family's files lack the backbone and none is given, or one is given and not needed.
        """
        if self.backbone_prefix is None or any(name.startswith(self.backbone_prefix) for name in state):
            if backbone is not None:
                raise CheckpointError("--backbone has no effect: the checkpoint holds the weights of its backbone")
            return dict(state)
        if backbone is None:
            raise CheckpointError("the checkpoint holds no backbone: give the weights that it was trained with "
                                  "(ImageNet, torchvision's names) by --backbone RESNET.pth")
        return {**state, **{f"{self.backbone_prefix}{name}": value for name, value in backbone.items()}}

    def convert(self, state: Mapping[str, Tensor]) -> Conversion:
        """Rename a source state dict.

        Raises:
            CheckpointError: nothing in it belongs to this family, or two weights would get one name.
        """
        result = Conversion()
        for name, value in self.prepare(dict(state)).items():
            reason = next((why for pattern, why in self.drop if re.fullmatch(pattern, name)), None)
            if reason:
                result.dropped[name] = reason
                continue
            target = self.rename(name)
            if target is None:
                result.unknown.append(name)
            elif target in result.state:
                raise CheckpointError(f"both {name!r} and {result.sources[target]!r} would become {target!r}")
            else:
                result.state[target] = value
                result.sources[target] = name
        if not result.state:
            raise CheckpointError(f"none of the {len(state)} weights belongs to this family; first names: "
                                  f"{', '.join(list(state)[:3])}")
        return result

    def fit(self, result: Conversion, model: nn.Module) -> Conversion:
        """Adapt what :meth:`convert` gave to ``model``, if the family allows models that differ from its own."""
        return result

    def prepare(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change the source before renaming, if the family needs it."""
        return state

    def rename(self, name: str) -> str | None:
        """Our name for a source name, None if no rule covers it."""
        for pattern, target in self.rules:
            match = re.fullmatch(pattern, name)
            if match:
                return match.expand(target)
        return None


def keep_counters(result: Conversion, model: nn.Module) -> Conversion:
    """Counters of batch norms, which old files of backbones lack and nothing uses, are the model's own."""
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked") and name not in result.state:
            result.state[name], result.kept[name] = value, "counters of batch norms that the file lacks"
    return result
