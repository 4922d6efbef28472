"""Textures, shapes, motion and warping."""

import cv2
import numpy as np
import pytest

from vosplug.datasets.synthetic.classes import CLASSES
from vosplug.datasets.synthetic.motion import Absence, Track, Warp, Wave, compose, invert
from vosplug.datasets.synthetic.shapes import SHAPES, fill, union
from vosplug.datasets.synthetic.sprites import object_sprite, recolour
from vosplug.datasets.synthetic.textures import FAMILIES, SIZE, family_members, texture
from vosplug.datasets.synthetic.warping import blend, bounding_box, lattice_maps, remap


@pytest.mark.parametrize("index", range(len(FAMILIES)))
def test_textures_have_structure_and_no_seam(index):
    picture = texture(index).astype(float)
    assert picture.shape == (SIZE, SIZE, 3) and not texture(index).flags.writeable
    assert picture.mean(2).std() > 8
    inside = np.abs(np.diff(picture, axis=1)).mean((0, 2))
    seam = np.abs(picture[:, 0] - picture[:, -1]).mean()
    assert seam < 1.8 * inside.max() + 4


def test_families_share_out_all_textures():
    numbers = sorted(i for family in FAMILIES for i in family_members(family, 50))
    assert numbers == list(range(50))


def test_every_class_has_a_known_shape_and_texture():
    for kind in CLASSES:
        assert kind.shape in SHAPES and kind.texture in FAMILIES


@pytest.mark.parametrize("family", SHAPES)
def test_unions_fit_the_unit_circle_and_are_connected(family):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        parts = union(family, 1 + seed % 4, rng)
        points = np.concatenate([curve for part in parts for curve in part])
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1.0)
        canvas = np.zeros((128, 128), np.uint8)
        for part in parts:
            canvas |= fill(part, 128, 60, np.array([63.5, 63.5]))
        count, _, stats, _ = cv2.connectedComponentsWithStats((canvas > 127).astype(np.uint8))
        largest = stats[1:, cv2.CC_STAT_AREA].max() / stats[1:, cv2.CC_STAT_AREA].sum()
        assert largest > 0.6


def test_a_ring_has_a_hole():
    rng = np.random.default_rng(1)
    canvas = fill(SHAPES["ring"](rng), 101, 40, np.array([50.0, 50.0]))
    assert canvas[50, 50] == 0 and canvas.max() == 255


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_sprite_area_is_about_what_was_asked(kind):
    sprite = object_sprite(kind, np.random.default_rng(0), side=60, parts=2, textures=24, colour=1.0)
    assert 0.6 < np.sqrt(sprite.area) / 60 < 1.4
    assert sprite.area == np.count_nonzero(sprite.picture[..., 3] > 127)


def test_no_colour_jitter_leaves_the_picture():
    picture = texture(0)
    assert recolour(np.random.default_rng(0), picture, 0) is picture
    assert not np.array_equal(recolour(np.random.default_rng(0), picture, 1.0), picture)


def test_waves_are_bounded():
    wave = Wave(np.random.default_rng(0), [1.0, 5.0], (10, 100))
    values = np.abs([wave(t) for t in np.arange(0, 3000, 3.7)])
    assert (values.max(0) <= [1.0, 5.0]).all() and (values.max(0) > [0.5, 2.5]).all()


def test_absence_moves_out_and_back():
    absence = Absence(enter=10, leave=60, away=10, every=100, slide=8)
    assert absence(0) == 1 and absence(10) == 0 and absence(30) == 0
    assert absence(60) == 1 and absence(57) == 1 and absence(80) == 0
    assert absence(160) == 1 and absence(130) == 0
    assert 0 < absence(6) < 1


def test_an_absent_thing_is_out_of_the_picture():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        track = Track(rng, (60, 40), (80, 120), 1.0, 20.0, absence=Absence(enter=10, slide=9))
        assert bounding_box(track(0.0), 20.0, 2.0, (80, 120)) is None
        assert bounding_box(track(12.0), 20.0, 2.0, (80, 120)) is not None


def test_inverse_and_composition():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2, 3))
    point = np.array([0.3, -2.0])
    apply = lambda m, p: m[:, :2] @ p + m[:, 2]  # noqa: E731
    assert np.allclose(apply(compose(a, b), point), apply(a, apply(b, point)))
    assert np.allclose(apply(invert(a), apply(a, point)), point)


def test_lattice_maps_are_exact_for_affine_maps_and_close_for_warps():
    matrix = np.array([[0.9, 0.2, -3.0], [-0.1, 1.2, 7.0]])
    box = (5, 3, 42, 30)
    y, x = np.mgrid[3:30, 5:42]
    exact = np.stack([matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] for i in range(2)], -1)
    assert np.allclose(lattice_maps(matrix, box, None, 0.0), exact, atol=1e-3)
    warp = Warp(np.random.default_rng(0), 4.0, 60.0)
    assert np.abs(lattice_maps(matrix, box, warp, 3.0) - warp(exact, 3.0)).max() < 0.5


def test_blend_covers_by_weight():
    frame = np.full((6, 6, 3), 100, np.uint8)
    patch = np.zeros((2, 2, 4), np.uint8)
    patch[..., :3] = 200
    patch[0, :, 3], patch[1, 0, 3] = 255, 128
    blend(frame, patch, (1, 1, 3, 3))
    assert (frame[1, 1:3] == 200).all() and abs(int(frame[2, 1, 0]) - 150) <= 1 and frame[2, 2, 0] == 100
    assert frame[0, 0, 0] == 100


def test_remap_outside_is_empty_or_repeats():
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4)
    far = np.full((1, 1, 2), 5.0, np.float32)
    assert remap(picture, far)[0, 0] == 0
    assert remap(picture, far, wrap=True)[0, 0] == picture[1, 1]
