"""The configs of EfficientVIS that come with vosplug can be built, and say what the paper says."""

import pytest

from vosplug.registry import VIS_SEGMENTORS
from vosplug.utils.configs import load_config


@pytest.mark.parametrize("name, length, layers", [("efficientvis_r50", 36, 6), ("efficientvis_r50_t9", 9, 6),
                                                  ("efficientvis_r101", 36, 6), ("efficientvis_small", 4, 3),
                                                  ("efficientvis_small_frames", 1, 3),
                                                  ("efficientvis_small_overfit", 4, 3)])
def test_configs_build(name, length, layers, root):
    config = load_config(root / "configs" / f"{name}.py")
    model = VIS_SEGMENTORS.build(config.model)
    assert model.clip_length == config.clip.length == length and len(model.interactions) == layers
    small = name.startswith("efficientvis_small")
    assert list(model.backbone.levels) == ["c2", "c3", "c4", *([] if small else ["c5"])]
    if not small:
        assert model.queries.num_queries == 10 and config.optim_wrapper.optimizer.lr == 2.5e-5
        assert config.param_scheduler[0].milestones[0] / config.train_cfg.max_iters == pytest.approx(27 / 33, abs=1e-3)


def test_the_small_model_of_frames_differs_from_that_of_clips_in_time_only(root):
    """So that its weights are a start for the other."""
    clips, frames = (VIS_SEGMENTORS.build(load_config(root / "configs" / f"{name}.py").model).state_dict()
                     for name in ("efficientvis_small", "efficientvis_small_frames"))
    assert {name for name in clips if ".attention.temporal." not in name} == frames.keys()
    assert all(clips[name].shape == value.shape for name, value in frames.items())
