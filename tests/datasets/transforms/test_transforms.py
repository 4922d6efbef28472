"""All registered clip transforms, and each on its own."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vosplug.datasets.pipelines import STATIC_PIPELINES, VIDEO_PIPELINES, build_transforms
from vosplug.datasets.transforms import (
    BalancedCrop,
    Clip,
    ColorJitter,
    GaussianBlur,
    PadOrCrop,
    RandomAffine,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomScale,
    Resize,
    ThinPlateSpline,
)
from vosplug.datasets.transforms.color_jitter import jitter
from vosplug.datasets.transforms.thin_plate_spline import box_of, spline_grid
from vosplug.registry import TRANSFORMS
from vosplug.utils.errors import ConfigError

ARGUMENTS = {"Resize": {"size": 30}, "PadOrCrop": {"size": (33, 70)}, "RandomResizedCrop": {"size": (24, 31)},
             "RandomScale": {"size": 30}, "BalancedCrop": {"size": (33, 70)}}
PACKAGE = "vosplug.datasets.transforms"
OURS = [name for name, cls in TRANSFORMS.module_dict.items() if cls.__module__.startswith(PACKAGE)]


def clip(length=3, ids=(0, 3, 40, 255), size=(40, 56), seed=0):
    rng = np.random.default_rng(seed)
    labels = [cv2.resize(rng.choice(ids, (5, 7)).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
              for _ in range(length)]
    return Clip([rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(length)], labels)


def run(transform, source, seed=0):
    return transform(source, np.random.default_rng(seed))


def test_all_transforms_are_covered():
    assert len(OURS) == 11


@pytest.mark.parametrize("name", OURS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), ids=st.sets(st.integers(0, 255), min_size=1, max_size=5))
def test_no_new_id_appears_and_the_clip_stays_whole(name, seed, ids):
    transform = TRANSFORMS.build({"type": name, **ARGUMENTS.get(name, {})})
    source = clip(ids=sorted(ids), seed=seed)
    result = run(transform, source, seed)
    assert len(result) == 3
    for image, labels in zip(result.images, result.labels, strict=True):
        assert image.dtype == labels.dtype == np.uint8
        assert image.shape == (*result.size, 3) and labels.shape == result.size
        assert set(np.unique(labels)) <= ids | {0}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from([*VIDEO_PIPELINES.values(), *STATIC_PIPELINES.values()]))
def test_whole_pipelines_make_no_new_ids(seed, kind):
    result = clip(seed=seed)
    rng = np.random.default_rng(seed)
    for transform in build_transforms(kind(32), {}, None):
        result = transform(result, rng)
    assert result.size == (32, 32)
    assert set(np.unique(result.labels)) <= {0, 3, 40, 255}


@pytest.mark.parametrize("name", OURS)
def test_only_the_generator_decides(name):
    transform = TRANSFORMS.build({"type": name, **ARGUMENTS.get(name, {})})
    first, second = (run(transform, clip(), 5) for _ in range(2))
    pairs = zip(first.images + first.labels, second.images + second.labels, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 1), ("vertical", 0)])
def test_flip(direction, axis):
    source = clip()
    expected = [np.flip(a, axis) for a in source.images + source.labels]
    flipped = run(RandomFlip(1.0, direction), clip())
    assert all(np.array_equal(a, b) for a, b in zip(flipped.images + flipped.labels, expected, strict=True))
    assert np.array_equal(run(RandomFlip(0.0), clip()).images[0], source.images[0])


@pytest.mark.parametrize(("size", "expected"), [(20, (20, 28)), ((13, 17), (13, 17))])
def test_resize(size, expected):
    assert run(Resize(size), clip()).size == expected


def test_crop_is_shared_and_has_the_stated_area():
    labels = np.zeros((100, 100), np.uint8)
    y, x = np.mgrid[:100, :100]
    image = np.stack([y * 2, x * 2, y * 0], -1).astype(np.uint8)
    for seed in range(10):
        result = run(RandomResizedCrop(50, scale=(0.36, 0.5)), Clip([image, image], [labels, labels]), seed)
        assert np.array_equal(*result.images)
        height, width = (np.ptp(result.images[0][..., c].astype(float)) / 2 * 50 / 49 for c in range(2))
        assert 0.3 < height * width / 1e4 < 0.55


def test_a_crop_can_insist_on_the_object():
    labels = np.zeros((100, 100), np.uint8)
    labels[:10, :10] = 1
    hits = {keep: sum(run(RandomResizedCrop(100, (0.3, 0.4), keep_object=keep, tries=50),
                          Clip([np.zeros((100, 100, 3), np.uint8)], [labels]), seed).labels[0].any()
                      for seed in range(30)) for keep in (False, True)}
    assert hits[False] < 15
    assert hits[True] >= 25


def test_affine_per_frame_or_shared():
    image = clip(1).images[0]
    source = [image] * 3
    labels = [np.zeros(image.shape[:2], np.uint8)] * 3
    own, shared = (run(RandomAffine(per_frame=p), Clip(source, labels)).images for p in (True, False))
    assert not np.array_equal(own[0], own[1])
    assert np.array_equal(shared[0], shared[1])


def test_pad_and_crop():
    labels = np.ones((10, 30), np.uint8)
    result = run(PadOrCrop((20, 20), random=False), Clip([np.zeros((10, 30, 3), np.uint8)], [labels]))
    assert result.labels[0].sum() == 200
    assert result.labels[0][5:15].all()
    image, places = np.zeros((10, 30, 3), np.uint8), set()
    for seed in range(40):
        result = run(PadOrCrop((20, 20)), Clip([image], [labels]), seed)
        places.add(tuple(np.argwhere(result.labels[0])[0]))
    assert len(places) > 5


def test_grey_pictures_have_equal_channels():
    images = run(RandomGrayscale(1.0), clip()).images
    assert all(np.array_equal(i[..., 0], i[..., 1]) and np.array_equal(i[..., 0], i[..., 2]) for i in images)


def test_colours_against_a_plain_computation():
    image = np.random.default_rng(0).integers(60, 190, (20, 20, 3), dtype=np.uint8)
    pixels = image.astype(float)
    grey = np.array([0.299, 0.587, 0.114])
    pixels = pixels * 1.1
    pixels = 0.9 * pixels + 0.1 * (pixels @ grey).mean()
    pixels = 1.2 * pixels - 0.2 * (pixels @ grey)[..., None]
    result = jitter(image, [("brightness", 1.1), ("contrast", 0.9), ("saturation", 1.2), ("hue", 0.0)])
    assert np.abs(result - np.clip(np.round(pixels), 0, 255)).max() <= 1


def test_a_third_of_the_hue_circle_turns_red_into_green():
    red = np.full((4, 4, 3), (200, 0, 0), np.uint8)
    assert np.abs(jitter(red, [("hue", 1 / 3)]).astype(int) - (0, 200, 0)).max() < 6


def test_colours_leave_masks_alone():
    source = clip()
    labels = [m.copy() for m in source.labels]
    result = run(ColorJitter(0.5, 0.5, 0.5, 0.5, per_frame=True), source)
    assert all(np.array_equal(a, b) for a, b in zip(result.labels, labels, strict=True))


def test_the_spline_passes_through_its_points():
    rng = np.random.default_rng(0)
    points, moves = rng.uniform(0.1, 0.9, (8, 2)), rng.normal(scale=0.02, size=(8, 2))
    grid = spline_grid(points, moves, (400, 400))
    for (x, y), move in zip(points, moves, strict=True):
        column, row = int(x * 400), int(y * 400)
        assert np.abs(grid[row, column] - (np.array([column, row]) + 0.5) - 400 * move).max() < 0.5
    assert np.abs(grid - spline_grid(points, moves, (400, 400), step=8)).max() < 0.5


def test_spline_without_moves_is_the_identity():
    source = clip()
    result = run(ThinPlateSpline(scale=0, probability=1), clip())
    assert all(np.array_equal(a, b) for a, b in zip(result.labels, source.labels, strict=True))


def test_splines_within_an_object_move_what_is_near_it():
    labels = np.zeros((80, 120), np.uint8)
    labels[30:50, 60:90] = 2
    transform = ThinPlateSpline(scale=0.1, points=5, probability=1, inside_object=True, keep_first=True)
    for seed in range(8):
        result = run(transform, Clip([np.zeros((80, 120, 3), np.uint8)] * 3, [labels] * 3), seed)
        assert np.array_equal(result.labels[0], labels)
        moved = [(x != labels).sum() for x in result.labels[1:]]
        # Moves of at most a tenth of 30 and 20 pixels: a rim of the object changes.
        assert 0 < max(moved) < 600 and set(np.unique(result.labels)) == {0, 2}
    nothing = Clip([np.zeros((8, 8, 3), np.uint8)] * 2, [np.zeros((8, 8), np.uint8)] * 2)
    assert run(transform, nothing) is nothing


def test_a_box_is_that_of_objects_without_void():
    labels = np.zeros((10, 20), np.uint8)
    assert box_of(labels) is None
    labels[2:4, 5:10], labels[9] = 7, 255
    assert np.allclose(box_of(labels), [[0.25, 0.2], [0.5, 0.4]])


@pytest.mark.parametrize("make", [
    lambda: RandomAffine(degrees=-1), lambda: RandomAffine(scale=(2, 1)), lambda: RandomFlip(2),
    lambda: RandomFlip(direction="diagonal"), lambda: RandomResizedCrop(scale=(0, 1)),
    lambda: RandomResizedCrop(ratio=(2, 1)), lambda: RandomResizedCrop(tries=0), lambda: Resize(0),
    lambda: Resize((1, 2, 3)), lambda: PadOrCrop(1.5),
    lambda: RandomGrayscale(-0.1), lambda: ColorJitter(hue=0.6), lambda: ColorJitter(brightness=-1),
    lambda: ThinPlateSpline(points=2)])
def test_bad_options_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_random_scale_keeps_the_ratio_within_its_range():
    sizes = [run(RandomScale(40, (0.5, 2.0)), clip(size=(20, 30)), seed).size for seed in range(60)]
    short = [height for height, _ in sizes]
    assert min(short) in range(20, 26) and max(short) in range(72, 81)
    assert all(abs(width - 1.5 * height) <= 1 for height, width in sizes)


def test_balanced_crop_looks_for_an_object():
    labels = np.zeros((60, 90), np.uint8)
    labels[40:52, 70:82] = 7  # 144 pixels in a corner
    source = Clip([np.zeros((60, 90, 3), np.uint8)] * 2, [labels] * 2)

    def found(tries):
        crops = [run(BalancedCrop(30, tries=tries), Clip(source.images, source.labels), seed) for seed in range(60)]
        assert all(crop.size == (30, 30) and (crop.labels[0] == crop.labels[1]).all() for crop in crops)
        return sum((crop.labels[0] == 7).sum() >= 101 for crop in crops)

    once, often = found(1), found(20)
    assert 0 < once < 30 and often > 50


def test_balanced_crop_pads_small_clips_at_random_sides():
    source = clip(size=(20, 24), ids=(1,))
    crops = [run(BalancedCrop(32), Clip(source.images, source.labels), seed) for seed in range(30)]
    corners = {tuple(np.argwhere(crop.labels[0])[0]) for crop in crops}
    assert len(corners) > 10 and all((crop.labels[0] > 0).sum() == 480 for crop in crops)
    top, left = np.argwhere(crops[0].labels[0])[0]
    outside = crops[0].images[0][0 if top else 31, 0 if left else 31]
    assert tuple(outside) == (124, 116, 104)


def test_blur_takes_frames_on_their_own():
    source = clip(length=40)
    before = [image.copy() for image in source.images]
    after = run(GaussianBlur((1.0, 2.0), probability=0.3), source).images
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert 5 <= sum(changed) <= 20
    number = changed.index(True)
    assert after[number].std() < 0.7 * before[number].std()


def test_colour_and_grey_of_single_frames():
    source = clip(length=40)
    before = [image.copy() for image in source.images]
    after = run(ColorJitter(0.4, per_frame=True, probability=0.8), source).images
    assert 24 <= sum(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)) <= 38
    greys = [(np.ptp(image, axis=2) == 0).all() for image in run(RandomGrayscale(0.3, per_frame=True), source).images]
    assert 5 <= sum(greys) <= 20


def test_the_first_view_stays():
    source = clip(length=12, ids=(0, 3))
    first = source.images[0].copy()
    for transform in (RandomFlip(0.5, per_frame=True, keep_first=True), RandomAffine(shift=0.1, keep_first=True)):
        result = run(transform, Clip([first] * 12, [source.labels[0]] * 12))
        same = [np.array_equal(image, first) for image in result.images]
        assert same[0] and 0 <= sum(same[1:]) < 11


def test_a_shift_moves_by_its_share_at_most():
    labels = np.zeros((50, 80), np.uint8)
    labels[25, 40] = 1
    places = []
    for seed in range(60):
        source = Clip([np.zeros((50, 80, 3), np.uint8)], [labels])
        places += np.argwhere(run(RandomAffine(0, 0, shift=0.1), source, seed).labels[0]).tolist()
    y, x = np.array(places).T
    assert len(places) == 60
    assert 3 <= np.abs(y - 25).max() <= 5 and 6 <= np.abs(x - 40).max() <= 8


@pytest.mark.parametrize("build, text", [
    (lambda: RandomScale(0), "size"), (lambda: RandomScale(scale=(1.2, 0.7)), "scale"),
    (lambda: BalancedCrop(32, tries=0), "tries"), (lambda: GaussianBlur((0.0, 1.0)), "sigma"),
    (lambda: GaussianBlur(probability=2), "probability"), (lambda: RandomAffine(shift=2), "shift"),
    (lambda: ColorJitter(probability=-1), "probability"),
    (lambda: RandomResizedCrop(per_frame=True, keep_object=True), "not both"),
    (lambda: build_transforms("aott", VIDEO_PIPELINES, None), "Did you mean 'aot'"),
])
def test_options_out_of_range(build, text):
    with pytest.raises(ConfigError, match=text):
        build()
