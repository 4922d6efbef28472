"""Lines of text in the corner of a frame, each in the colour of an object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .overlay import BRIGHT
from .tracks import LINES, colour_id, draw_caption

GREY = np.array([200, 200, 200], np.uint8)


@dataclass(frozen=True)
class Mark:
    """A line.

    Attributes:
        text: what it says.
        value: id of the object whose colour it has; 0 is grey.
    """

    text: str
    value: int


def draw_marks(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """Write the lines one below the other into the upper left corner.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        marks: lines.
    """
    canvas = image.copy()
    step = max(12, 2 * image.shape[0] // LINES)
    for number, mark in enumerate(marks, start=1):
        colour = BRIGHT[colour_id(mark.value)] if mark.value else GREY
        draw_caption(canvas, mark.text, (0, number * step), colour)
    return canvas
