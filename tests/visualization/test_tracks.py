"""Tracks drawn over frames."""

import numpy as np
import pytest

from vosplug.inference.track_recorder import encode
from vosplug.structures import TrackMask
from vosplug.utils.errors import InputError
from vosplug.visualization import draw_overlay, draw_tracks
from vosplug.visualization.tracks import caption_of, colour_id, track_labels

SIZE = (80, 120)


def track(number, box, score, category="dog"):
    mask = np.zeros(SIZE, bool)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = True
    return TrackMask(id=number, label=4, score=score, mask=encode(mask), category=category)


def example():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return image, [track(1, (40, 30, 90, 70), 0.9), track(2, (60, 40, 110, 75), 0.5)]


def test_the_better_track_lies_on_top():
    image, tracks = example()
    for given in (tracks, tracks[::-1]):
        labels = track_labels(given, SIZE)
        assert labels[50, 70] == 1 and labels[72, 70] == 2 and labels[10, 10] == 0
    np.testing.assert_array_equal(draw_tracks(image, tracks, captions=False), draw_overlay(image, labels))


def test_captions_are_drawn_inside_the_picture_and_leave_the_frame_as_it_was():
    image, tracks = example()
    before = image.copy()
    plain = draw_tracks(image, tracks, captions=False)
    drawn = draw_tracks(image, tracks)
    np.testing.assert_array_equal(image, before)
    rows, columns = (drawn != plain).any(axis=2).nonzero()
    assert len(rows) and rows.max() < 60 and rows.min() >= 15  # above the two masks
    corner = draw_tracks(image, [track(3, (0, 0, 5, 5), 0.7, "a name that is longer than the picture is wide")])
    assert (corner != image).any()
    assert caption_of(tracks[0]) == "dog 0.90" and caption_of(track(1, (0, 0, 2, 2), 0.123, "")) == "class 4 0.12"


def test_colours_stay_with_an_id_and_come_again_after_254():
    assert [colour_id(n) for n in (1, 254, 255, 508, 509)] == [1, 254, 1, 254, 1]
    image, tracks = example()
    np.testing.assert_array_equal(track_labels([track(255, (5, 5, 9, 9), 0.5)], SIZE),
                                  track_labels([track(1, (5, 5, 9, 9), 0.5)], SIZE))
    np.testing.assert_array_equal(draw_tracks(image, []), image)


def test_another_size_is_refused():
    image, tracks = example()
    with pytest.raises(InputError, match="size of the image"):
        draw_tracks(image[:40], tracks)
