"""More samples of an object than the one frame on which its mask is given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError
from ...utils.seeds import generator_of

FOREGROUND = dict(rotation=(5, -5, 10, -10, 20, -20, 30, -30, 45, -45), flip=(False, False, False, False, True),
                  scale=(0.5, 0.7, 1.0, 1.5, 2.0, 2.5), skew=((0.0, 0.0), (0.0, 0.0), (0.1, 0.1)),
                  blur_size=(0.0, 0.0, 0.0, 2.0), blur_angle=(0, 45, 90, 135))
BACKGROUND = dict(location=((0.5, 0.5),), rotation=(0, 0, 0), flip=(False,), scale=(1.0, 1.0, 1.2), skew=((0.0, 0.0),),
                  blur_size=(0.0, 0.0, 1.0, 2.0, 5.0), blur_angle=(0, 45, 90, 135))
MIN_SIDE = 10  # smallest width and height of a pasted object


@LAYERS.register_module(role="samples", examples=[dict()])
class FixedSamples(nn.Module):
    """The frame, its mirror image, two that are rolled around the border, and one that is turned by 180 degrees.

    No random numbers, no interpolation: what a run computes is then a function of weights and frames alone.

    Args:
        rolls: shifts in rows and columns.

    Attributes:
        count: number of samples.
    """

    def __init__(self, rolls: Sequence[tuple[int, int]] = ((16, -24), (-24, 32))):
        super().__init__()
        self.rolls = tuple(tuple(roll) for roll in rolls)
        self.count = 3 + len(self.rolls)

    def forward(self, frame: Tensor, mask: Tensor, seed: tuple, preprocessor: nn.Module) -> tuple[Tensor, Tensor]:
        """See :meth:`CutAndPaste.forward`."""
        return self.samples(frame), self.samples(mask)

    def samples(self, x: Tensor) -> Tensor:
        """(..., H, W) -> (count, ..., H, W)."""
        rolled = [x.roll(roll, (-2, -1)) for roll in self.rolls]
        return torch.stack([x, x.flip(-1), *rolled, x.flip((-2, -1))])


@LAYERS.register_module(role="samples", examples=[dict(num_aug=3), dict(num_aug=2, feather=3, margin=2)])
class CutAndPaste(nn.Module):
    """Paste the object, moved and deformed, on the frame without it (FRTM, section 3.4, after Lucid Dreaming).

    The object is cut out with a feathered mask, the hole is inpainted, both are warped by affine maps and blurred
    along a line. Combinations of what is done are drawn from lists of parameters, without replacement as long as
    these last, and tried in random order until there are enough samples. All draws come from a generator made of the
    seed that is handed in: nothing else has an influence on them.

    Args:
        num_aug: number of samples, the frame itself included.
        min_pixels: samples with a smaller object are not taken.
        candidates: number of combinations; if too few of them make a sample, the frame itself takes the place of
            others.
        feather: width in pixels of the soft border of the cut-out, inside the object; 1 is a hard one, as published.
        margin: width in pixels of what is inpainted around the object and smoothed.
        foreground, background: lists that replace some of :data:`FOREGROUND` and :data:`BACKGROUND`. A ``scale`` that
            is a string is the height of the object as a share of the frame's. ``location`` is the new centre; that of
            objects lies on a jittered grid.

    Attributes:
        count: number of samples.
    """

    def __init__(self, num_aug: int = 5, min_pixels: int = 10, candidates: int = 19, feather: int = 1, margin: int = 1,
                 foreground: Mapping[str, Sequence] | None = None, background: Mapping[str, Sequence] | None = None):
        super().__init__()
        for name, value, least in (("num_aug", num_aug, 1), ("candidates", candidates, 1), ("feather", feather, 1),
                                   ("margin", margin, 1)):
            if value < least:
                raise ConfigError(f"CutAndPaste.{name} must be at least {least}, got {value}")
        self.count, self.min_pixels, self.candidates = num_aug, min_pixels, candidates
        self.feather, self.margin = feather, margin
        self.foreground = merged("foreground", FOREGROUND, foreground)
        self.background = merged("background", BACKGROUND, background)

    def forward(self, frame: Tensor, mask: Tensor, seed: tuple, preprocessor: nn.Module) -> tuple[Tensor, Tensor]:
        """Samples of one object.

        Args:
            frame: (3, H, W), as the preprocessor gives it.
            mask: (H, W) of 0 and 1.
            seed: what the samples are for; see :func:`~vosplug.utils.seeds.generator_of`.
            preprocessor: that made ``frame``.

        Returns:
            (count, 3, H, W) frames, the first of which is ``frame``, and (count, H, W) masks.
        """
        image = preprocessor.denormalize(frame).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        images, masks = self.augment(image, (mask > 0.5).byte().cpu().numpy(), generator_of(*seed))
        new = torch.from_numpy(np.ascontiguousarray(images[1:])).permute(0, 3, 1, 2).to(frame.device)
        frames = torch.cat([frame[None], preprocessor.normalize(new).to(frame)])
        return frames, torch.from_numpy(masks).to(mask)

    def augment(self, image: np.ndarray, mask: np.ndarray,
                random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 RGB, (H, W) uint8 of 0 and 1 -> (count, H, W, 3), (count, H, W), the originals first."""
        images, masks = [image], [mask]
        if self.count > 1 and np.count_nonzero(mask) >= self.min_pixels:
            scene = Scene.of(image, mask, self.feather, self.margin)
            for foreground, background in self.plans(random, mask.shape):
                pasted, moved = scene.paste(foreground, background)
                if np.count_nonzero(moved) >= self.min_pixels:
                    images.append(pasted)
                    masks.append(moved)
                if len(images) == self.count:
                    break
        plain = self.count - len(images)
        return np.stack(images + [image] * plain), np.stack(masks + [mask] * plain)

    def plans(self, random: np.random.Generator, size: tuple[int, int]) -> list[tuple[dict, dict]]:
        """What may be done to the object and to the background, in random order."""
        foreground = {"location": locations(random, self.count, size), **self.foreground}
        drawn = [draw(random, options, self.candidates) for options in (foreground, self.background)]
        plans = list(zip(*drawn, strict=True))
        random.shuffle(plans)
        return plans


class Scene:
    """An object cut out of its frame, and the frame without it.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 of 0 and 1, not empty.
        alpha: (H, W) uint8, opacity of the cut-out.
        empty: (H, W, 3) uint8, the frame without the object.
    """

    def __init__(self, image: np.ndarray, mask: np.ndarray, alpha: np.ndarray, empty: np.ndarray):
        self.mask, self.empty = mask, empty
        self.cutout = np.concatenate([image * mask[..., None], alpha[..., None]], axis=2).astype(np.float32)
        left, top, width, height = cv2.boundingRect(mask)
        self.box = (left + width / 2, top + height / 2, width, height)

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray, feather: int, margin: int) -> "Scene":
        """Cut the object out and fill the hole; see :class:`CutAndPaste`."""
        alpha = cv2.blur(cv2.erode(mask, disc(feather)) * 255, (feather, feather))
        hole = cv2.dilate(mask, disc(2 * margin))
        filled = cv2.inpaint(image, hole, margin, cv2.INPAINT_TELEA)
        border = (1 - cv2.erode(mask, disc(margin))) * hole
        share = cv2.blur(border * 255, (margin, margin))[..., None] / 255
        smooth = cv2.blur(filled, (margin, margin))
        return cls(image, mask, alpha, (smooth * share + filled * (1 - share)).astype(np.uint8))

    def paste(self, foreground: Mapping[str, Any], background: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Warp both by what was drawn for them: (H, W, 3) uint8, (H, W) uint8 of 0 and 1."""
        height, width = self.mask.shape
        whole = (width / 2, height / 2, width, height)
        scene = warp(self.empty.astype(np.float32), affine(background, whole, (height, width), limited=False))
        scene = blur(scene, background)
        matrix = affine(foreground, self.box, (height, width), limited=True)
        cutout = blur(warp(self.cutout, matrix), foreground)
        share = cutout[..., 3:] / 255
        pasted = cutout[..., :3] * share + scene * (1 - share)
        return pasted.astype(np.uint8), warp_labels(self.mask, matrix)


def merged(name: str, known: Mapping[str, Sequence], given: Mapping[str, Sequence] | None) -> dict[str, list]:
    """The lists ``known``, some of them replaced by ``given``."""
    for key, values in (given or {}).items():
        if key not in known or not isinstance(values, (list, tuple)) or not values:
            raise ConfigError(f"CutAndPaste.{name} takes lists that are not empty for {', '.join(known)}; got "
                              f"{key}={values!r}")
    return {key: list(values) for key, values in {**known, **(given or {})}.items()}


def locations(random: np.random.Generator, count: int, size: tuple[int, int]) -> list[tuple[float, float]]:
    """``count`` centres (x, y), as shares of the frame, out of the jittered cells of a grid in random order."""
    aspect = size[1] / size[0]
    rows = math.ceil(math.sqrt(count / aspect))
    columns = math.ceil(aspect * rows)
    centres = []
    for row in range(rows):
        for column in range(columns):
            x = (column + 0.5) / columns + random.normal(0, 0.125 / columns)
            y = (row + 0.5) / rows + random.normal(0, 0.125 / rows)
            centres.append((round(x, 3), round(y, 3)))
    random.shuffle(centres)
    return centres[:count]


def draw(random: np.random.Generator, options: Mapping[str, Sequence], count: int) -> list[dict[str, Any]]:
    """``count`` combinations: each list is repeated until it is long enough, and shuffled by itself."""
    columns = {}
    for name, values in options.items():
        values = list(values) * math.ceil(count / len(values))
        random.shuffle(values)
        columns[name] = values[:count]
    return [{name: values[number] for name, values in columns.items()} for number in range(count)]


def affine(plan: Mapping[str, Any], box: tuple[float, float, float, float], size: tuple[int, int],
           limited: bool) -> np.ndarray:
    """3x3 matrix that scales, turns and skews about the centre of ``box`` and brings it to the new location.

    Args:
        plan: what was drawn.
        box: centre x, y, width and height.
        size: (H, W) of the frame.
        limited: keep the box inside the size of the frame, and its sides at :data:`MIN_SIDE` at least.
    """
    x, y, box_width, box_height = box
    height, width = size
    scale = plan["scale"]
    if isinstance(scale, str):
        scale = float(scale) * height / box_height
    if limited and (scale * box_width > width or scale * box_height > height):
        scale = min(width / box_width, height / box_height)
    if limited and min(box_width, box_height) * scale < MIN_SIDE:
        scale = MIN_SIDE / min(box_width, box_height)
    cos, sin = math.cos(math.radians(plan["rotation"])), math.sin(math.radians(plan["rotation"]))
    skew_x, skew_y = plan["skew"]
    linear = np.array([[1, skew_x], [skew_y, 1]]) @ np.array([[cos, sin], [-sin, cos]])
    linear = linear @ np.diag([-scale if plan["flip"] else scale, scale])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array(plan["location"]) * (width, height) - linear @ (x, y)
    return matrix.astype(np.float32)


def warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Bicubic warp of a (H, W, C) float32 image with values in 0..255."""
    height, width = image.shape[:2]
    return cv2.warpAffine(image, matrix[:2], (width, height), flags=cv2.INTER_CUBIC).clip(0, 255)


def warp_labels(labels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Nearest-neighbour warp of (H, W) labels, zero outside. Versions of OpenCV round borders of pixels differently."""
    height, width = labels.shape
    inverse = np.linalg.inv(matrix.astype(np.float64))
    rows, columns = np.mgrid[:height, :width]
    x, y = (np.rint(a * columns + b * rows + c).astype(np.int64) for a, b, c in inverse[:2])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(inside, labels[y.clip(0, height - 1), x.clip(0, width - 1)], 0).astype(labels.dtype)


def blur(image: np.ndarray, plan: Mapping[str, Any]) -> np.ndarray:
    """Gaussian blur along a line; outside of the frame everything is zero."""
    if plan["blur_size"] <= 0:
        return image
    kernel = line_kernel(plan["blur_size"], plan["blur_angle"])
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_CONSTANT)


def line_kernel(length: float, angle: float, across: float = 0.1) -> np.ndarray:
    """(2s+1, 2s+1) Gaussian with the variances ``length`` along the direction ``angle`` (degrees) and ``across``."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cos, sin], [-sin, cos]])
    precision = turn @ np.diag([1 / length, 1 / across]) @ turn.T
    radius = int(length / 2 + 0.5)
    radius += (radius + 1) % 2
    grid = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 2))
    kernel = np.exp(-0.5 * (grid * np.tensordot(precision, grid, axes=1)).sum(axis=0))
    return (kernel / kernel.sum()).astype(np.float32)


def disc(diameter: int) -> np.ndarray:
    """Round structuring element."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))


