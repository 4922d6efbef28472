"""Tracks drawn over their frame: masks in colours that stay with a track, class and score beside them."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..structures import TrackMask
from ..utils.masks import MAX_OBJECTS
from .overlay import BRIGHT, draw_overlay

FONT = cv2.FONT_HERSHEY_SIMPLEX
LINES = 40  # of text that a frame is high


def track_labels(tracks: Sequence[TrackMask], size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: where tracks overlap, the one with the higher score lies on top; values are :func:`colour_id`."""
    labels = np.zeros(size, np.uint8)
    for track in sorted(tracks, key=lambda t: (t.score, -t.id)):
        cv2.copyTo(np.full(size, colour_id(track.id), np.uint8), track.pixels, labels)
    return labels


def colour_id(number: int) -> int:
    """Place of a track's colour in the palette: its id, and the colours again from 255 on."""
    return (number - 1) % MAX_OBJECTS + 1


def draw_tracks(image: np.ndarray, tracks: Sequence[TrackMask], *, alpha: float = 0.5,
                captions: bool = True) -> np.ndarray:
    """Draw masks, with class and score above each.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        tracks: of this frame; masks have the size of the image.
        alpha: weight of the colour in the fill.
        captions: write ``category score``.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: the sizes differ, or ``alpha`` is outside of 0..1.
    """
    size = tuple(tracks[0].mask["size"]) if tracks else image.shape[:2]
    canvas = draw_overlay(image, track_labels(tracks, size), alpha=alpha)
    if captions:
        for track in sorted(tracks, key=lambda t: (t.score, -t.id)):
            x, y, _, _ = track.box
            draw_caption(canvas, caption_of(track), (x, y), BRIGHT[colour_id(track.id)])
    return canvas


def caption_of(track: TrackMask) -> str:
    """What is written beside a track."""
    return f"{track.category or f'class {track.label}'} {track.score:.2f}"


def draw_caption(canvas: np.ndarray, text: str, corner: tuple[int, int], colour: np.ndarray) -> None:
    """Write a line above ``corner`` (x, y) into the picture, on a ground of ``colour``; it is kept inside."""
    height, width = canvas.shape[:2]
    scale = max(0.3, height / LINES / 22)  # capitals of this font are 22 pixels high at scale 1
    thickness = 2 if scale > 0.8 else 1
    (text_width, text_height), base = cv2.getTextSize(text, FONT, scale, thickness)
    x = max(0, min(corner[0], width - text_width))
    bottom = max(text_height + base, min(corner[1], height))
    cv2.rectangle(canvas, (x, bottom - text_height - base), (x + text_width, bottom), tuple(map(int, colour)), -1)
    dark = float(colour @ np.array([0.299, 0.587, 0.114])) > 127
    cv2.putText(canvas, text, (x, bottom - base // 2 - 1), FONT, scale, (0, 0, 0) if dark else (255, 255, 255),
                thickness, cv2.LINE_AA)
