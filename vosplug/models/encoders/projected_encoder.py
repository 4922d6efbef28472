"""Encoder of AOT and DeAOT: a backbone and a projection of its last level."""

from torch import Tensor, nn

from ...registry import BACKBONES, ENCODERS
from ...utils.errors import ConfigError


@ENCODERS.register_module(role="projection", examples=lambda: [
    dict(backbone=BACKBONES.example("ResNet"), channels=7)])
class ProjectedEncoder(nn.Module):
    """Pyramid of a frame, and its last level projected by a 1x1 convolution.

    Args:
        backbone: config (kind ``backbone``).
        channels: of the projection.
        shallow: the last level that :meth:`shallow` computes.

    Attributes:
        levels: of the backbone.
        out_channels, stride: of the projection.
    """

    def __init__(self, backbone: dict, channels: int = 256, shallow: str = "c3"):
        super().__init__()
        self.backbone = BACKBONES.build(backbone)
        self.levels = self.backbone.levels
        if shallow not in self.levels:
            raise ConfigError(f"ProjectedEncoder.shallow must be a level of the backbone ({', '.join(self.levels)}), "
                              f"got {shallow!r}")
        self.last = list(self.levels)[-1]
        self.upto = shallow
        self.out_channels, self.stride = channels, self.levels[self.last].stride
        self.proj = nn.Conv2d(self.levels[self.last].channels, channels, 1)
        nn.init.xavier_uniform_(self.proj.weight)

    def shallow(self, frame: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> levels up to ``shallow``."""
        return self.backbone(frame, upto=self.upto)

    def deep(self, pyramid: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Levels so far -> all levels, and the projection (B, channels, h, w)."""
        pyramid = self.backbone.extend(pyramid)
        return pyramid, self.proj(pyramid[self.last])

    def forward(self, frame: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, 3, H, W) -> all levels, and the projection."""
        return self.deep(self.shallow(frame))
