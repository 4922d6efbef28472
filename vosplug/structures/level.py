"""What is known of a map of a feature pyramid before any frame is seen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One map of a feature pyramid.

    Attributes:
        channels: of the map.
        stride: pixels of the frame per cell; two levels of a pyramid may share one.
    """

    channels: int
    stride: int
