"""How far sparse models drift from their dense twin when gates decide at random: do errors add up over a video?"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..inference.session import VOSSession
from ..models.backbones.sparse_convs.constructed import RandomPolicy
from ..utils.errors import InputError
from .sparsity import sparse_layers


@dataclass(frozen=True)
class DriftCase:
    """A kind of sparse convolution, and what the sites do that are not computed.

    Attributes:
        name: for tables.
        conv: type of the convolution.
        reused: share of the sites left out that reuse; the others are skipped.
    """

    name: str
    conv: str
    reused: float


CASES = (
    DriftCase("triple, reuse", "TripleSparseConv", 1.0),
    DriftCase("triple, reuse or skip", "TripleSparseConv", 0.5),
    DriftCase("triple, skip", "TripleSparseConv", 0.0),
    DriftCase("static, zero", "StaticSparseConv", 0.0),
    DriftCase("residual, keep", "ResidualSparseConv", 1.0),
)


@dataclass
class Drift:
    """Distance of a model from its dense twin, frame by frame.

    Attributes:
        features: |key - dense key| / |dense key| (norms over the frame) of the key encoder.
        masks: mean IoU with the masks of the dense model over the objects of either.
    """

    features: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, list[float]]:
        """One number per frame; the first frame, on which masks are given, included."""
        return {"features": self.features, "masks": self.masks}


def freeze_gates(model: nn.Module, case: DriftCase, share: float, seed: int = 0) -> None:
    """Let every sparse convolution leave out each site with probability ``share``, at random in every frame.

    Raises:
        InputError: the model has no sparse convolution.
    """
    layers = sparse_layers(model)
    if not layers:
        raise InputError("it has no sparse convolution whose gates could be frozen")
    forced = RandomPolicy(1 - share, share * case.reused, seed)
    for layer in layers:
        layer.forced = forced


@contextmanager
def last_key(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds the keys of the frame that ``model`` encoded last."""
    held: list[Tensor] = []
    handle = model.key_encoder.key_proj.register_forward_hook(lambda _m, _i, key: held.__setitem__(slice(None), [key]))
    try:
        yield held
    finally:
        handle.remove()


def measure_drift(dense: nn.Module, models: Mapping[str, nn.Module], frames: Iterable[np.ndarray],
                  labels: np.ndarray, session_options: Mapping[str, Any] | None = None) -> dict[str, Drift]:
    """Segment a video with all models in step, and compare each with the dense one.

    Args:
        dense: the twin without sparse convolutions; it has a ``key_encoder``, as the others have.
        models: by name, with gates frozen.
        frames: pictures (H, W, 3) uint8 RGB; they are held one at a time.
        labels: (H, W) objects of the first frame.
        session_options: of :class:`~vosplug.inference.VOSSession`.
    """
    options = dict(session_options or {})
    sessions = {name: VOSSession(model, **options) for name, model in {"": dense, **models}.items()}
    result = {name: Drift() for name in models}
    for index, image in enumerate(frames):
        keys, masks = {}, {}
        for name, session in sessions.items():
            with last_key(session.model) as held:
                masks[name] = session.step(image, labels if index == 0 else None)
            keys[name] = held[0].float()
        for name, drift in result.items():
            drift.features.append(float(torch.linalg.norm(keys[name] - keys[""]) / torch.linalg.norm(keys[""])))
            drift.masks.append(mean_iou(masks[name], masks[""]))
    return result


def mean_iou(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean over the objects of either label map (H, W) of the IoU of their masks; 1 where there is no object."""
    ids = [value for value in np.union1d(ours, theirs) if value]
    values = [float(((ours == v) & (theirs == v)).sum() / ((ours == v) | (theirs == v)).sum()) for v in ids]
    return float(np.mean(values)) if values else 1.0
