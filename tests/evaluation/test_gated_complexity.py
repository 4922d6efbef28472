"""Work of gated models, counted; the numbers of the full-size ones follow from their shapes."""

import pytest
import torch

from tests.contracts.helpers import boxes, build_model, random_frames, track
from vosplug.evaluation.complexity import measure_frames
from vosplug.evaluation.gated_complexity import mean_of_rate, measure_gated
from vosplug.evaluation.stage_counter import StageCounter
from vosplug.inference.model_loading import build_segmentor
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config

SIZE = (40, 56)
# Learning does not belong to the frames that are compared, and takes most of the time: as little of it as there can be.
BRIEF = {"init_iters": (1,), "update_iters": (1,),
         "augmentation": {"type": "FixedSamples", "rolls": (), "_delete_": True}}


@pytest.mark.parametrize("mode", ["translate", "copy"])
def test_a_mixed_clip_is_the_sum_of_its_frames(mode):
    options = dict(tau=[1.0, 0.0, 0.0, 1.0, 0.0], mode=mode)
    settings = SEGMENTORS.example("ReuseGated", **options)
    settings["segmentor"]["memory"]["update_every"] = None  # updates cost by what has been seen so far
    model = build_model(settings)
    state, frames = model.init_state(), random_frames(6, SIZE)
    track(model, frames[:1], {0: ((1,), boxes(1, SIZE))}, state=state)
    counter = StageCounter(model)
    with counter.count():
        track(model, frames[1:], state=state)
    kinds = measure_gated(build_model({**settings, "tau": 0.5, "mode": "translate"}), size=SIZE)
    expected = 2 * kinds.total("full") + 3 * kinds.total("copy" if mode == "copy" else "reuse")
    assert sum(counter.counts.values()) == pytest.approx(expected, rel=0.005)


def test_the_model_is_left_as_it_was():
    model = build_model(SEGMENTORS.example("ReuseGated", tau=0.3))
    result = measure_gated(model, size=SIZE)
    assert (model.tau, model.mode, model.training) == (0.3, "translate", False)
    found = mean_of_rate(result, 1.0)
    assert found["macs_g_mean"] == pytest.approx(result.total("reuse") / 1e9)


def published(config, **options):
    """A full-size model that hardly learns."""
    settings = load_config(config)
    memory = settings.model.get("segmentor", settings.model).memory
    memory.update(BRIEF)
    return build_segmentor(settings, seed=0)


NUMBERS = [  # config, objects, ungated, full, reuse, copy: billions, at 480x854
    ("g_frtm_fast_r18", 1, 26.486, 26.835, 20.043, 8.466), ("g_frtm_fast_r18", 2, 38.060, 38.759, 31.969, 8.816),
    ("g_frtm_r101", 1, 76.602, 77.267, 27.564, 15.514), ("g_frtm_r101", 2, 88.888, 90.218, 40.279, 16.178)]


@pytest.mark.slow
@pytest.mark.parametrize("config, objects, ungated, full, reuse, copy", NUMBERS)
def test_published_sizes_at_480p(config, objects, ungated, full, reuse, copy):
    result = measure_gated(published(config), objects=objects)
    found = [result.total(kind) / 1e9 for kind in ("ungated", "full", "reuse", "copy")]
    assert found == pytest.approx([ungated, full, reuse, copy], rel=0.005)


@pytest.mark.slow
def test_a_narrow_refiner_costs_what_a_gated_mean_frame_does():
    model = build_segmentor(load_config("reuse/frtm_fast_narrow_r18"), seed=0)
    model.memory.init_iters = model.memory.update_iters = (1,)
    narrow = measure_frames(model).total() / 1e9
    assert narrow == pytest.approx(26.835 - 0.475 * (26.835 - 20.043), rel=0.02)


@pytest.mark.parametrize("config, params", [("frtm_fast_r18", 12_402_641), ("frtm_r101", 43_910_609),
                                            ("g_frtm_fast_r18", 12_402_641 + 483_379),
                                            ("g_frtm_r101", 43_910_609 + 581_683)])
def test_published_parameters(config, params):
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(config).model)
    assert sum(p.numel() for p in model.parameters()) == params
