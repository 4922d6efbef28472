"""Where the blocks of networks of inverted residuals stand: MobileNet-V2, EfficientNet-lite."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Blocks of one shape.

    Attributes:
        expansion: how much wider a block is inside than its input.
        channels: of the output.
        blocks: how many.
        stride: of the first of them.
        kernel: side of the depthwise convolution.
    """

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int = 3


@dataclass(frozen=True)
class Place:
    """One block: its shape, and the stride of what it gives, as seen from the frame (``level_stride``)."""

    in_channels: int
    out_channels: int
    expansion: int
    kernel: int
    stride: int
    dilation: int
    level_stride: int


def block_places(groups: Sequence[Group], channels: int, output_stride: int) -> Iterator[Place]:
    """Every block of ``groups`` behind a stem of stride 2 with ``channels``.

    Groups that would be coarser than ``output_stride`` are dilated instead; the first block of such a group has the
    dilation of the group before, as in AOT (Yang et al., NeurIPS 2021).
    """
    level_stride, dilation = 2, 1
    for group in groups:
        before, stride = dilation, group.stride
        if level_stride * stride > output_stride:
            dilation, stride = dilation * stride, 1
        level_stride *= stride
        for index in range(group.blocks):
            first = index == 0
            yield Place(channels, group.channels, group.expansion, group.kernel, stride if first else 1,
                        before if first else dilation, level_stride)
            channels = group.channels


def scaled(channels: int, width: float, divisor: int = 8) -> int:
    """``channels * width`` rounded to a multiple of ``divisor``, not down by more than a tenth."""
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded
