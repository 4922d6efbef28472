"""SST against a plain one, for every row of its table of configs."""

import pytest
import torch

from tests.contracts.helpers import CONFIGS, random_frames
from vosplug.registry import SEGMENTORS
from vosplug.structures import Prompt, Rows
from vosplug.utils.configs import load_config

from .plain_sst import PlainSST

ROWS = sorted(path.stem for path in (CONFIGS / "sst").glob("*.py")
              if not path.stem.startswith(("small_", "table1_", "os16", "stcn_", "cfbi_", "davis", "youtube")))
GROUPS = {"type": "GN", "channels_per_group": 4}
NARROW = {
    "model.encoder.backbone": {"depth": None, "block": "basic", "blocks": (1, 1, 1), "stem_channels": 8,
                               "widths": (8, 8, 16), "multi_grid": None, "norm": GROUPS},
    "model.encoder.neck": {"channels": 16, "low_channels": 8, "norm": GROUPS, "dropout": 0.0},
    "model.encoder.channels": 8, "model.matching_head.heads": 2,
    "model.decoder": {"channels": 16, "prehead_channels": 8, "refine_channels": 8, "slots_per_pass": None,
                      "norm": GROUPS}}


def narrow(row):
    """The model of a config, narrow, in float64, and its config; windows and steps are short."""
    cfg = load_config(CONFIGS / ("sst_r101.py" if row == "headline" else f"sst/{row}.py"))
    cfg.merge_from_dict(NARROW)
    for attention in cfg.model.matching_head.attentions:
        for part in attention.get("parts", [attention]):
            if "h" in part:
                part.h = 2
    torch.manual_seed(0)
    return SEGMENTORS.build(cfg.model).double().eval(), cfg.model


@pytest.mark.parametrize("row", ["headline", *ROWS])
@torch.no_grad()
def test_six_frames_with_a_late_object_are_those_of_the_plain_model(row):
    model, cfg = narrow(row)
    plain, state = PlainSST(model, cfg), model.init_state()
    size = (26, 37)
    masks = torch.zeros(2, *size, dtype=torch.float64)
    masks[0, 4:20, 3:14], masks[1, 8:24, 20:34] = 1, 1
    starts, differing, composed, compose = {0: 0, 3: 1}, [], [], model.compose
    model.compose = lambda *args: composed.append(compose(*args)) or composed[-1]
    for t, image in enumerate(random_frames(6, size)):
        x, geometry = model.data_preprocessor.frames(image[None])
        channel = starts.get(t)
        prompt = None
        if channel is not None:
            native = masks[None, channel, None]
            prompt = Prompt(ids=(5 - channel,), masks=model.data_preprocessor.masks(native, geometry), native=native)
        given = {} if channel is None else {5 - channel: masks[channel]}
        before = state.num_objects
        model.step(state, x, prompt, geometry=geometry)
        theirs = plain.step(x, given, size, lambda count: Rows.of_table(torch.ones(1, count, dtype=torch.bool),
                                                                       range(count)))
        if theirs is not None:
            assert composed[-1].shape == (1, before + 1, *size)
            differing.append(float((composed[-1][0] - theirs).abs().max() / theirs.abs().max()))
    assert len(differing) == 5 and max(differing) < 1e-12
