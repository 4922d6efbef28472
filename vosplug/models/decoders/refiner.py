"""FRTM's segmentation network: from a coarse score to a mask logit, level by level."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DECODERS
from ...utils.errors import ConfigError
from ..layers.residual import ProjectedBlock

UPSAMPLING = ("bilinear", "bicubic")


class ScoreEncoder(nn.Module):
    """Join a feature with the score: reduce the feature, append the score, three 3x3 convolutions with ReLU.

    Args:
        in_channels: of the feature.
        channels: of the reduced feature and of the output.
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        both = channels + 1
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.transform = nn.Sequential(nn.Conv2d(both, both, 3, padding=1), nn.ReLU(),
                                       nn.Conv2d(both, both, 3, padding=1), nn.ReLU(),
                                       nn.Conv2d(both, channels, 3, padding=1), nn.ReLU())

    def forward(self, feature: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """(R, C_in, h, w), (R, 1, h', w') -> output and reduced feature, both (R, C, h, w)."""
        reduced = self.reduce(feature)
        return self.transform(torch.cat([reduced, resize(score, reduced.shape[-2:])], dim=1)), reduced


class DeeperAttention(nn.Module):
    """Scale channels by what both this level and the deeper one show on average, and add the deeper one.

    Args:
        channels: of both.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, deeper: Tensor) -> Tensor:
        """(R, C, h, w), (R, C, h', w') -> (R, C, h, w)."""
        means = [y.mean(dim=(2, 3), keepdim=True) for y in (x, deeper)]
        return x * self.scale(torch.cat(means, dim=1)).sigmoid() + resize(deeper, x.shape[-2:])


class RefinerLevel(nn.Module):
    """One level: join feature and score, residual block, attention with the deeper level, residual block."""

    def __init__(self, in_channels: int, channels: int, norm: dict | None):
        super().__init__()
        self.encoder = ScoreEncoder(in_channels, channels)
        self.block1 = ProjectedBlock(channels, norm)
        self.attention = DeeperAttention(channels)
        self.block2 = ProjectedBlock(channels, norm)

    def forward(self, feature: Tensor, score: Tensor, deeper: Tensor | None) -> Tensor:
        """(R, C_in, h, w), (R, 1, h', w'), (R, C, h'', w'') or None at the deepest level -> (R, C, h, w)."""
        x, reduced = self.encoder(feature, score)
        if deeper is None:  # what the deepest level has below it is the mean of its own feature
            deeper = reduced.mean(dim=(2, 3), keepdim=True)
        return self.block2(self.attention(self.block1(x), deeper))


class RefinerHead(nn.Module):
    """Up-sample twice by two with a convolution after each; the second one works at the size of the frame.

    Args:
        channels: of the input.
        upsampling: of the second step: ``bilinear`` goes by two bicubically, then to the frame bilinearly; ``bicubic``
            goes to the frame at once.
    """

    def __init__(self, channels: int, upsampling: str):
        super().__init__()
        if upsampling not in UPSAMPLING:
            raise ConfigError(f"Refiner.upsampling must be one of {', '.join(UPSAMPLING)}, got {upsampling!r}")
        self.upsampling = upsampling
        self.conv1 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, 1, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(R, C, h, w) -> (R, 1, H, W) logits."""
        x = F.relu(self.conv1(twice(x)))
        if torch.is_grad_enabled() or x.dtype == torch.float64:  # as written: learning amplifies rounding
            return self.conv2(self.grow(x, size))
        # Growing works on each channel alone, so channels are mixed before it, once for each tap of the convolution.
        taps = F.conv2d(x, self.conv2.weight[0].flatten(1).t()[:, :, None, None])
        shifts = torch.eye(taps.shape[1], dtype=taps.dtype, device=taps.device).view(1, -1, *self.conv2.kernel_size)
        return F.conv2d(self.grow(taps, size), shifts, self.conv2.bias, padding=1)

    def grow(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(R, C, h, w) -> (R, C, H, W)."""
        if self.upsampling == "bilinear":
            return resize(twice(x), size)
        return F.interpolate(x, size=size, mode="bicubic", align_corners=False)


@DECODERS.register_module(role="score", examples=[dict(channels=8)])
class Refiner(nn.Module):
    """Refine a coarse score with backbone features, deepest level first (FRTM: Robinson et al., CVPR 2020, Fig. 3).

    The levels coarser than stride 8 are :meth:`coarse`, the others and the head are :meth:`fine`: a reuse gate skips
    the former. Four levels are published; three are those of a backbone without stride 32.

    Args:
        levels: name -> (channels, stride) of the backbone; given by the segmentor.
        channels: of all levels.
        norm: of the residual blocks; batch norm if None.
        names: levels that are used; by default all of stride 4 or more, but one per stride.
        upsampling: of the head, see :class:`RefinerHead`.

    Attributes:
        out_channels, stride: of :meth:`coarse`.
    """

    SPLIT = 8

    def __init__(self, levels: Mapping[str, Any], channels: int = 64, norm: dict | None = None,
                 names: Sequence[str] | None = None, upsampling: str = "bilinear"):
        super().__init__()
        names = list(names or deepest_names(levels))
        unknown = [name for name in names if name not in levels]
        if unknown:
            raise ConfigError(f"Refiner.names: the backbone has no level {unknown[0]!r} (it has {', '.join(levels)})")
        names.sort(key=lambda name: levels[name].stride, reverse=True)
        self.coarse_names = [name for name in names if levels[name].stride > self.SPLIT]
        self.fine_names = [name for name in names if levels[name].stride <= self.SPLIT]
        if not self.coarse_names or not self.fine_names:
            raise ConfigError(f"Refiner needs levels on both sides of stride {self.SPLIT}, got strides "
                              f"{[levels[name].stride for name in names]}")
        self.out_channels, self.stride = channels, levels[self.coarse_names[-1]].stride
        norm = norm or dict(type="BN")
        self.levels = nn.ModuleDict({name: RefinerLevel(levels[name].channels, channels, norm) for name in names})
        self.head = RefinerHead(channels, upsampling)

    def coarse(self, features: Mapping[str, Tensor], score: Tensor) -> Tensor:
        """Features (R, C, h, w) by level, score (R, 1, h, w) -> (R, channels, h, w) at the finest stride above 8."""
        x = None
        for name in self.coarse_names:
            x = self.levels[name](features[name], score, x)
        return x

    def fine(self, features: Mapping[str, Tensor], score: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
        """The same with x (R, channels, h, w) of :meth:`coarse` -> (R, 1, H, W) logits at ``size``."""
        for name in self.fine_names:
            x = self.levels[name](features[name], score, x)
        return self.head(x, size)


def deepest_names(levels: Mapping[str, Any]) -> list[str]:
    """The last level of every stride of 4 or more."""
    return list({level.stride: name for name, level in levels.items() if level.stride >= 4}.values())


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation; nothing is copied where the size is right."""
    same = tuple(x.shape[-2:]) == tuple(size)
    return x if same else F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def twice(x: Tensor) -> Tensor:
    """Bicubic up-sampling by two."""
    return F.interpolate(x, size=[2 * s for s in x.shape[-2:]], mode="bicubic", align_corners=False)
