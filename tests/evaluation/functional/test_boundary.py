"""Boundaries and their matching, against the rule spelt out pixel by pixel."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vosplug.evaluation.functional import boundary

from .. import brute_force

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 10**6)


def noise(size: tuple[int, int], seed: int, share: float = 0.2) -> np.ndarray:
    return (np.random.default_rng(seed).random(size) < share).astype(np.uint8)


@given(size=sizes, seed=seeds)
@settings(max_examples=150, deadline=None)
def test_boundary_map_is_the_rule(size, seed):
    for mask in (noise(size, seed), (brute_force.shapes(*size, seed) == 1).astype(np.uint8)):
        assert set(zip(*map(list, np.nonzero(boundary.boundary_map(mask))), strict=True)) == \
            brute_force.boundary_pixels(mask)


def test_edge_of_the_image_is_no_boundary():
    assert not boundary.boundary_map(np.ones((5, 7), np.uint8)).any()
    mask = np.zeros((5, 7), np.uint8)
    mask[-1, -1] = 1
    assert boundary.boundary_map(mask).sum() == 3
    assert not boundary.boundary_map(mask)[-1, -1]


@pytest.mark.parametrize("way", ["look up", "dilate", "choose"])
@given(size=sizes, seed=seeds, radius=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_count_matched_is_the_rule(way, size, seed, radius):
    cost = {"look up": 0, "dilate": 10**9, "choose": boundary._GATHER_COST}[way]
    points, target = noise(size, seed, share=0.1), noise(size, seed + 1, share=0.02)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "_GATHER_COST", cost)
        got = boundary.count_matched(points, target, radius)
    pixels = [set(zip(*map(list, np.nonzero(m)), strict=True)) for m in (points, target)]
    assert got == brute_force.count_matched(*pixels, radius)


@pytest.mark.parametrize("radius", range(1, 41))
def test_reach_is_a_disk_whose_rim_belongs_to_it(radius):
    size = 2 * radius + 5
    target = np.zeros((size, size), np.uint8)
    target[radius + 2, radius + 2] = 1
    y, x = np.mgrid[:size, :size] - radius - 2
    expected = int((y * y + x * x <= radius * radius).sum())
    assert boundary.count_matched(np.ones_like(target), target, radius) == expected
    assert boundary.count_matched(target, np.ones_like(target), radius) == 1


def test_square_lies_inside_the_disk():
    for radius in range(1, 60):
        half = (boundary._disk(radius).square.shape[0] - 1) // 2
        assert 2 * half * half <= radius * radius < 2 * (half + 1) ** 2
        assert len(boundary._disk(radius).ring) + (2 * half + 1) ** 2 == boundary._disk(radius).area


@pytest.mark.parametrize(("size", "pixels"), [((480, 854), 8), ((480, 910), 9), ((480, 1152), 10), ((1080, 1920), 18),
                                              ((240, 427), 4), ((720, 1280), 12), ((1, 1), 1)])
def test_tolerance(size, pixels):
    assert boundary.boundary_tolerance(*size) == pixels == math.ceil(0.008 * np.linalg.norm(size))


def test_matches_dilation_on_large_masks():
    points, target = (brute_force.shapes(200, 300, seed) for seed in (1, 2))
    maps = [boundary.boundary_map((m == 1).astype(np.uint8)) for m in (points, target)]
    maps = [m if m.any() else boundary.boundary_map(noise((200, 300), 5, 0.001)) for m in maps]
    expected = int((cv2.dilate(maps[1], boundary.disk_kernel(7)) & maps[0]).sum())
    assert boundary.count_matched(*maps, 7) == expected
