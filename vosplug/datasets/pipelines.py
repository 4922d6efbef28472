"""Augmentations by name, and building of transforms.

``stcn`` (Cheng et al., NeurIPS 2021) is used by XMem and SpVOS too; ``aot`` and ``deaot`` (Yang et al., 2021; Yang and
Yang, 2022) differ in colour: none in videos and a little in images, or much of it per frame. ``cfbi`` (Yang et al.,
2020), which SST takes over, is the older form of ``aot``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..registry import TRANSFORMS
from ..utils.errors import ConfigError, did_you_mean
from .transforms import Clip

Transform = Callable[[Clip, np.random.Generator], Clip]


def build_transforms(transforms: Sequence[Any] | str, pipelines: Mapping[str, Callable[..., list[dict]]],
                     size: int | tuple[int, int] | None) -> list[Transform]:
    """Build configs; callables are taken as they are.

    Args:
        transforms: configs, or the name of a pipeline.
        pipelines: by name.
        size: of the clips of a pipeline, see there; its own if None.

    Raises:
        ConfigError: no pipeline has that name.
    """
    if isinstance(transforms, str):
        if transforms not in pipelines:
            raise ConfigError(f"unknown transforms {transforms!r}.{did_you_mean(transforms, pipelines)} Known: "
                              f"{', '.join(pipelines)}; or a list of configs.")
        transforms = pipelines[transforms]() if size is None else pipelines[transforms](size)
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


# AOT draws short sides around this one for crops of this size.
AOT_SIDE, AOT_CROP = 480, 465
STRONG_COLOUR = [
    {"type": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "per_frame": True,
     "probability": 0.8},
    {"type": "RandomGrayscale", "probability": 0.2, "per_frame": True},
    {"type": "GaussianBlur", "sigma": (0.1, 2.0), "probability": 0.3},
]


def aot_video_transforms(size: int | tuple[int, int] = AOT_CROP) -> list[dict]:
    """AOT for clips of videos: scale, a crop that shows an object, mirroring; all frames alike."""
    side = min(size) if isinstance(size, tuple) else size
    return [
        {"type": "RandomScale", "size": round(side * AOT_SIDE / AOT_CROP), "scale": (0.7, 1.3)},
        {"type": "BalancedCrop", "size": size},
        {"type": "RandomFlip"},
    ]


def cfbi_video_transforms(size: int | tuple[int, int] = AOT_CROP) -> list[dict]:
    """CFBI for clips of videos: AOT's, never smaller than the base size."""
    scale, *others = aot_video_transforms(size)
    return [{**scale, "scale": (1.0, 1.3)}, *others]


def deaot_video_transforms(size: int | tuple[int, int] = AOT_CROP) -> list[dict]:
    """DeAOT for clips of videos: AOT's, and strong colour."""
    return [*aot_video_transforms(size), *STRONG_COLOUR]


def aot_static_geometry(size: int) -> list[dict]:
    """AOT for views of one image, without colour: an affine map from the second view on, and a crop of each."""
    return [
        {"type": "RandomFlip"},
        {"type": "RandomFlip", "probability": 0.3, "per_frame": True, "keep_first": True},
        {"type": "RandomAffine", "degrees": 20, "shear": 10, "scale": (0.9, 1.1), "shift": 0.1, "keep_first": True},
        {"type": "RandomResizedCrop", "size": size, "scale": (0.8, 1.0), "per_frame": True},
    ]


def aot_static_transforms(size: int = AOT_CROP) -> list[dict]:
    """AOT for views of one image: geometry, and a little colour of each view."""
    return [*aot_static_geometry(size),
            {"type": "ColorJitter", "brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.03,
             "per_frame": True}]


def deaot_static_transforms(size: int = AOT_CROP) -> list[dict]:
    """DeAOT for views of one image: AOT's geometry, and strong colour."""
    return [*aot_static_geometry(size), *STRONG_COLOUR]


VIDEO_PIPELINES = {"stcn": video_transforms, "aot": aot_video_transforms, "deaot": deaot_video_transforms,
                   "cfbi": cfbi_video_transforms}
STATIC_PIPELINES = {"stcn": static_transforms, "aot": aot_static_transforms, "deaot": deaot_static_transforms}
