"""The augmentations of STCN (Cheng et al., NeurIPS 2021), which XMem and SpVOS use too, and building of transforms."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..registry import TRANSFORMS
from .transforms import Clip

Transform = Callable[[Clip, np.random.Generator], Clip]


def build_transforms(transforms: Sequence[Any]) -> list[Transform]:
    """Build configs; callables are taken as they are."""
    return [TRANSFORMS.build(dict(t)) if isinstance(t, dict) else t for t in transforms]


def video_transforms(size: int | tuple[int, int] = 384) -> list[dict]:
    """For clips of videos: flip, crop and colour of all frames; rotation, shear and a little colour of each."""
    return [
        {"type": "RandomFlip"},
        {"type": "RandomResizedCrop", "size": size, "scale": (0.36, 1.0)},
        {"type": "RandomAffine", "degrees": 15, "shear": 10},
        {"type": "ColorJitter", "brightness": 0.1, "contrast": 0.03, "saturation": 0.03},
        {"type": "RandomGrayscale", "probability": 0.05},
        {"type": "ColorJitter", "brightness": 0.01, "contrast": 0.01, "saturation": 0.01, "per_frame": True},
    ]


def static_transforms(size: int = 384) -> list[dict]:
    """For views of one image: the frames differ by an affine map, a crop, colour and sometimes a smooth deformation."""
    return [
        {"type": "RandomAffine", "degrees": 0, "shear": 0, "scale": (0.8, 1.5), "per_frame": False},
        {"type": "RandomFlip"},
        {"type": "RandomAffine", "degrees": 20, "shear": 10, "scale": (0.9, 1.1)},
        {"type": "Resize", "size": size},
        {"type": "PadOrCrop", "size": size, "per_frame": True},
        {"type": "ThinPlateSpline", "scale": 0.02, "probability": 0.33},
        {"type": "ColorJitter", "brightness": 0.1, "contrast": 0.05, "saturation": 0.05, "hue": 0.05},
        {"type": "RandomGrayscale", "probability": 0.05},
        {"type": "ColorJitter", "brightness": 0.1, "contrast": 0.05, "saturation": 0.05, "per_frame": True},
    ]
