"""Rendering of synthetic videos."""

import hashlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

from vosplug.datasets.synthetic import CLASS_NAMES, SyntheticOptions, SyntheticVideo, generate_clip, iter_video
from vosplug.datasets.synthetic.scene import Scene
from vosplug.utils.errors import InputError

SIZE = (96, 128)
EASY = SyntheticOptions(distractors=(0, 0), occluder=0.0, late=0.0, leave=0.0)


def digest(clip) -> str:
    return hashlib.sha256(clip.frames.tobytes() + clip.labels.tobytes() + repr(clip.categories).encode()).hexdigest()


def test_shapes_and_ids():
    for seed in range(12):
        clip = generate_clip(seed, 4, SIZE, times=[0, 4, 9, 12])
        assert clip.frames.shape == (4, *SIZE, 3) and clip.frames.dtype == np.uint8
        assert clip.labels.shape == (4, *SIZE) and clip.labels.dtype == np.uint8
        ids = set(np.unique(clip.labels)) - {0}
        assert ids == set(clip.categories) == set(range(1, len(ids) + 1))
        assert set(clip.categories.values()) <= set(CLASS_NAMES)


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    first = [digest(generate_clip(seed, 3, SIZE)) for seed in range(4)]
    again = [digest(generate_clip(seed, 3, SIZE)) for seed in reversed(range(4))]
    assert first == again[::-1]
    assert len(set(first)) == 4


def test_same_bytes_in_another_process_with_other_threads(root):
    here = digest(generate_clip(5, 3, SIZE))
    code = ("import cv2, hashlib; cv2.setNumThreads(2)\n"
            "from vosplug.datasets.synthetic import generate_clip\n"
            f"clip = generate_clip(5, 3, {SIZE})\n"
            "print(hashlib.sha256(clip.frames.tobytes() + clip.labels.tobytes() + repr(clip.categories).encode())"
            ".hexdigest())")
    there = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_global_random_state_is_left_alone():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generate_clip(0, 2, SIZE)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("size", [(96, 128), (160, 160)])
def test_objects_enter_with_the_minimum_area(size):
    options = SyntheticOptions(objects=(3, 5), min_visible=0.006, late=0.5, occluder=1.0, distractors=(2, 4))
    late = 0
    for seed in range(12):
        clip = generate_clip(seed, 6, size, options, times=range(0, 30, 5))
        for i in clip.categories:
            areas = (clip.labels == i).sum((1, 2))
            first = int(np.argmax(areas > 0))
            assert areas[first] >= 0.006 * size[0] * size[1]
            late += first > 0
        assert (clip.labels[0] > 0).any()
    assert late >= 5


def test_late_objects_are_numbered_in_order_of_entry():
    options = SyntheticOptions(objects=(4, 4), late=1.0, leave=0.0)
    for seed in range(6):
        clip = generate_clip(seed, 8, SIZE, options, times=range(0, 40, 5))
        firsts = [int(np.argmax((clip.labels == i).any((1, 2)))) for i in sorted(clip.categories)]
        assert firsts == sorted(firsts)
        assert firsts[0] == 0


def test_objects_leave_and_return():
    options = EASY.but(objects=(1, 1), leave=1.0)
    returned = 0
    for seed in range(8):
        labels = np.stack([frame for _, frame in iter_video(seed, 60, (64, 96), options)])
        seen = (labels == 1).any((1, 2))
        gone = np.flatnonzero(~seen)
        returned += bool(len(gone)) and seen[gone[-1]:].any()
        assert seen[0]
    assert returned >= 4


def test_distractors_and_occluders_are_drawn_but_not_labelled():
    """An exact copy in the scene changes the picture outside of the labels; the labels count objects only."""
    options = EASY.but(objects=(1, 1), distractors=(2, 2), copies=1.0, noise=0.0, occluder=1.0)
    for seed in range(5):
        clip = generate_clip(seed, 1, (128, 128), options)
        scene = SyntheticVideo(seed, 1, (128, 128), options)._scene
        unnamed = [item for item in scene.items if item.category is None]
        named = [item for item in scene.items if item.category is not None]
        assert len(unnamed) == 3 and len(named) == 1
        assert sum(item.sprite is named[0].sprite for item in unnamed) == 2
        assert set(np.unique(clip.labels)) == {0, 1}


def test_occluder_is_in_front_of_everything():
    scene = Scene(np.random.default_rng(0), SIZE, 10, SyntheticOptions(occluder=1.0, objects=(3, 3)))
    assert scene.items[-1].category is None


def test_labels_follow_the_picture():
    """With a still scene and flat colours, the label edges lie where the picture changes."""
    still = EASY.but(objects=(1, 1), motion=0.0, noise=0.0, photometric=0.0, blur=0.0)
    clip = generate_clip(2, 3, SIZE, still)
    assert np.array_equal(clip.frames[0], clip.frames[2])
    assert np.array_equal(clip.labels[0], clip.labels[2])


def test_motion_scales_the_motion():
    def moved(motion):
        distances = []
        for seed in range(10):
            labels = generate_clip(seed, 2, SIZE, EASY.but(objects=(1, 1), motion=motion), times=[0, 3]).labels
            a, b = (np.argwhere(frame == 1).mean(0) for frame in labels)
            distances.append(np.linalg.norm(a - b))
        return np.mean(distances)

    assert moved(0.0) == 0 < moved(0.5) < moved(3.0)


def test_classes_are_obeyed():
    options = SyntheticOptions(classes=("ring", "star"), later_classes=("blob",), objects=(3, 3), late=0.0)
    for seed in range(5):
        video = SyntheticVideo(seed, 1, (128, 128), options)
        names = [item.category for item in video._scene.items if item.category]
        assert names.count("blob") == 2
        assert set(names) - {"blob"} <= {"ring", "star"}


def test_streaming_equals_the_clip_and_is_lazy():
    stream = iter_video(4, 100000, SIZE)
    assert inspect.isgenerator(stream)
    frame, labels = next(stream)
    assert frame.shape == (*SIZE, 3) and labels.shape == SIZE
    clip = generate_clip(4, 6, SIZE)
    for t, (frame, labels) in enumerate(iter_video(4, 6, SIZE)):
        assert np.array_equal(frame, clip.frames[t]) and np.array_equal(labels, clip.labels[t])


def test_a_far_frame_still_has_the_object_and_texture():
    """A camera that has panned for long must not run out of the 16 bits of map coordinates."""
    options = EASY.but(objects=(1, 1), camera=3.0)
    clip = generate_clip(1, 3, SIZE, options, times=[0, 50000, 100000])
    assert (clip.labels == 1).any((1, 2)).all()
    assert (clip.frames.reshape(3, -1).std(1) > 5).all()


def test_objects_stay_in_view_of_a_long_video():
    present = [(labels == 1).any() for _, labels in iter_video(9, 400, (48, 64), EASY.but(textures=16))]
    assert np.mean(present) > 0.9


@pytest.mark.parametrize("change", [dict(seed=-1), dict(seed=1.5), dict(num_frames=0), dict(size=(8, 64)),
                                    dict(size=(64, 64, 3)), dict(times=[0, 1]), dict(times=[3, 2, 1])])
def test_bad_arguments_are_named(change):
    with pytest.raises(InputError):
        generate_clip(**{**dict(seed=0, num_frames=3, size=SIZE), **change})
