"""Running public code of others on a CPU, in double precision, without the files that it would download."""

import contextlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vosplug.parity.fill import checksum, fill_state_dict
from vosplug.parity.tiny import described, made_clip, packed

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FLOAT64 = {"max_abs": 1e-5, "max_rel_to_peak": 1e-5, "labels": "identical"}
OPTIMISED = {"max_abs": 1e-4, "max_rel_to_peak": 1e-4, "labels": "identical"}


@contextlib.contextmanager
def on_cpu(checkout: Path) -> Iterator[None]:
    """Imports come from a checkout; single precision means double, and the GPU means the CPU."""
    without_operators()
    zeros, changed = torch.zeros, {
        (torch, "float32"): torch.float64, (torch, "float"): torch.float64,
        (torch.Tensor, "float"): torch.Tensor.double, (torch.Tensor, "cuda"): lambda self, *_, **__: self,
        (torch.cuda, "synchronize"): lambda *_: None, (torch.cuda, "empty_cache"): lambda: None,
        (torch, "zeros"): lambda *size, device=None, **options: zeros(*size, **options)}
    before = {place: getattr(*place) for place in changed}
    sys.path.insert(0, str(checkout))
    torch.set_default_dtype(torch.float64)
    for (owner, name), value in changed.items():
        setattr(owner, name, value)
    try:
        with torch.no_grad():
            yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
        torch.set_default_dtype(torch.float32)
        sys.path.remove(str(checkout))


def without_operators() -> None:
    """torchvision's networks import, also where its compiled operators are not for this torch (none is used)."""
    if "torchvision" not in sys.modules:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        on_cpu.library = library  # operators live as long as their library


def plain_resnets() -> None:
    """torchvision's ResNets start from random weights, whatever is asked for."""
    from torchvision import models

    for name in ("resnet18", "resnet50", "resnet101"):
        build = getattr(models, name)
        setattr(models, name, lambda *_, build=build, **__: build(weights=None))


def recorded(owner: object, name: str) -> list[Any]:
    """What a method of an object returns from now on; tensors are copied."""
    kept, method = [], getattr(owner, name)

    def call(*args, **kwargs):
        result = method(*args, **kwargs)
        kept.append(copied(result))
        return result

    object.__setattr__(owner, name, call)
    return kept


def watched(module: nn.Module) -> list[tuple[Any, Any]]:
    """Inputs and output of every call of a module, copied."""
    kept: list[tuple[Any, Any]] = []
    module.register_forward_hook(lambda _module, inputs, output: kept.append((copied(inputs), copied(output))))
    return kept


def copied(value: Any) -> Any:
    """Tensors in lists and tuples, copied."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return [copied(item) for item in value] if isinstance(value, (list, tuple)) else value


def shapes(state: dict[str, Tensor], prefix: str = "") -> dict[str, list[int]]:
    """Names and shapes of weights."""
    return {prefix + name: list(value.shape) for name, value in state.items()}


def filled(names: dict[str, list[int]], fill: dict[str, Any]) -> dict[str, Tensor]:
    """Weights by the rule; the checksum is noted in ``fill``."""
    state = fill_state_dict(names, fill["gains"], fill["offsets"])
    fill["checksum"] = checksum(state)
    return {name: torch.from_numpy(value) for name, value in state.items()}


def clip_of(clip: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, H, W, 3) and ids of frame 0 (H, W)."""
    arrays = made_clip(clip["frames"], tuple(clip["size"]), clip["objects"])
    return arrays["frames"], arrays[f"mask{clip['objects']}"]


def normalised(frames: np.ndarray) -> Tensor:
    """(T, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(((frames / 255 - MEAN) / STD).transpose(0, 3, 1, 2)))


def one_hot(label: np.ndarray, objects: int) -> Tensor:
    """(N, H, W) of 0 and 1."""
    return torch.stack([torch.from_numpy(label == number + 1) for number in range(objects)]).double()


def manifest(name: str, source: dict[str, str], clip: dict[str, Any], settings: dict[str, Any], fill: dict[str, Any],
             names: dict[str, list[int]], outputs: dict[str, Tensor], tolerance: dict[str, Any]) -> dict[str, Any]:
    """The content of a tiny manifest."""
    software = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {"name": name, "source": source, "computed_with": software, "inputs": {"clip": clip},
            "hyperparameters": {"num_frames": clip["frames"], "num_objects": clip["objects"], **settings},
            "fill": fill, "tolerance": {"float64": tolerance},
            "outputs": {key: described(value.numpy()) for key, value in outputs.items()}, "state_dict": packed(names)}
