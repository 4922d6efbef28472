"""The way between the size of a video and the size that a network sees."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Geometry:
    """How frames of a video are brought to the size that the network sees: they are resized, then padded.

    Attributes:
        native: (H, W) of the frames as they are read, and of the masks that are given back.
        size: (H, W) after resizing.
        pad: pixels added then at (left, right, top, bottom).
    """

    native: tuple[int, int]
    size: tuple[int, int]
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def network(self) -> tuple[int, int]:
        """(H', W') of the frames that the network sees."""
        left, right, top, bottom = self.pad
        return self.size[0] + top + bottom, self.size[1] + left + right

    def mirrored(self) -> "Geometry":
        """The geometry of the same frames seen in a mirror: padding changes sides."""
        left, right, top, bottom = self.pad
        return replace(self, pad=(right, left, top, bottom))
