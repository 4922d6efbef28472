"""Template matching: what a frame shows differently from what is remembered of an object."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MATCHING_HEADS
from ...utils.errors import ConfigError

GROUP, SLOPE = 4, 0.2


class Branch(nn.Module):
    """1x1 convolution, 5x5 convolution in groups of four channels, and a leaky ReLU between or after them."""

    def __init__(self, in_channels: int, channels: int, activate_between: bool):
        super().__init__()
        self.activate_between = activate_between
        self.proj = nn.Conv2d(in_channels, channels, 1)
        self.conv = grouped(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(R, C_in, h, w) -> (R, C, h, w)."""
        if self.activate_between:
            return self.conv(F.leaky_relu(self.proj(x), SLOPE))
        return F.leaky_relu(self.conv(self.proj(x)), SLOPE)


class TemplateHead(nn.Module):
    """Base of heads with a template, which correlates values with keys over all cells (TTVOS).

    The template is a softmax over keys of V K^T / sqrt(hw), (Cv, Ck). It is applied to the keys of what is compared
    with it; a convolution of the result beside features of the same input gives what is put out.

    Args:
        in_channels: of all inputs.
        key_channels, template_channels, channels: Ck, Cv and channels of what is put out; the first two multiples of 4.
        activates_between: the branches that make the template have their leaky ReLU between their convolutions.

    Attributes:
        out_channels: of what is put out.
    """

    def __init__(self, in_channels: int, key_channels: int, template_channels: int, channels: int,
                 activates_between: bool):
        super().__init__()
        if key_channels % GROUP or template_channels % GROUP:
            raise ConfigError(f"{type(self).__name__}: channels of keys and templates must be multiples of {GROUP}, "
                              f"got {key_channels} and {template_channels}")
        self.out_channels = channels
        self.read_key = Branch(in_channels, key_channels, activate_between=False)
        self.read_feature = Branch(in_channels, template_channels, activate_between=False)
        self.blend = nn.Sequential(grouped(2 * template_channels), nn.Conv2d(2 * template_channels, channels, 1))
        self.make_key = Branch(in_channels, key_channels, activates_between)
        self.make_value = Branch(in_channels, template_channels, activates_between)

    def make(self, x: Tensor) -> Tensor:
        """(R, in_channels, h, w) -> template (R, Cv, Ck)."""
        key, value = self.make_key(x).flatten(2), self.make_value(x).flatten(2)
        return (value @ key.transpose(1, 2) / math.sqrt(key.shape[2])).softmax(dim=2)

    def read(self, x: Tensor, template: Tensor) -> Tensor:
        """(R, in_channels, h, w), (R, Cv, Ck) -> (R, channels, h, w)."""
        key = self.read_key(x)
        matched = (template @ key.flatten(2)).unflatten(2, key.shape[-2:])
        return F.relu(self.blend(torch.cat([self.read_feature(x), matched], dim=1)))


@MATCHING_HEADS.register_module(role="template", examples=[dict(key_channels=8, template_channels=4, channels=8)])
class TemplateMatching(TemplateHead):
    """A template per object, made once from its first frame, against feature and score of the present one.

    Reuse gate paper (Park et al., CVPR 2021), section 3.2 and Fig. 3, after TTVOS. A frame is compared by its feature
    and the score of the last computed frame; the result is the dissimilarity D.

    Args:
        feature_channels: of the feature at stride 8; given by the segmentor.
        key_channels, template_channels, channels: Ck, Cv and channels of D, see :class:`TemplateHead`.

    Attributes:
        out_channels: of D.
    """

    def __init__(self, feature_channels: int, key_channels: int = 64, template_channels: int = 64, channels: int = 64):
        super().__init__(feature_channels + 1, key_channels, template_channels, channels, activates_between=True)

    def template(self, feature: Tensor, score: Tensor) -> Tensor:
        """Template of (R, C, h, w), (R, 1, h, w): (R, Cv, Ck)."""
        return self.make(torch.cat([feature, score], dim=1))

    def forward(self, feature: Tensor, score: Tensor, template: Tensor) -> Tensor:
        """Dissimilarity (R, channels, h, w) of (R, C, h, w), (R, 1, h, w), (R, Cv, Ck)."""
        return self.read(torch.cat([feature, score], dim=1), template)


def grouped(channels: int) -> nn.Conv2d:
    """5x5 convolution in groups of four channels."""
    return nn.Conv2d(channels, channels, 5, padding=2, groups=channels // GROUP)
