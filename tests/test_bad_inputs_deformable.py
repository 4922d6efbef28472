"""Bad input of deformable attention: one clear line each, and status 2."""

import pytest

from tests.bad_inputs_helpers import (
    SETS,
    Bad,
    change,
    check_bad,
    check_good,
    cut,
    make_world,
)
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.configs import find_config

MODEL = """model = dict(
    type="DeAOT", preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(type="ProjectedEncoder", channels=32, backbone=dict(
        type="MobileNetV2", width=0.25, output_stride=16, norm=dict(type="FrozenBN"), frozen_stages=1)),
    identity_bank=dict(type="IdentityBank", norm=True), memory=dict(type="LayeredBank"),
    matching_head=dict(type="GatedPropagation", layers=1, radius=2, deformable=dict(
        type="GatedDeformableAttention", grid_factor=2, groups=4)),
    decoder=dict(type="FPNDecoder", context=False, channels=16), max_objects=10)
"""
KEYS = f"""_base_ = "{find_config('stcn_small')}"
model = dict(matching_head=dict(_delete_=True, type="DeformableMatching", head=dict(type="L2Matching"), groups=4))
"""
STATS = "model_stats deformable.py --shape 64 64"
TEST = "test deformable.py deformable.pth --device cpu --eval davis"
PLOT = "plot_offsets deformable.py deformable.pth images --mask first.png --frame 2 --out o.png --device cpu"


def option(old, new, name, says, line=STATS):
    """A config whose piece ``old`` has become ``new``."""
    return Bad(name, line, says, change("deformable.py", old, new))


def key(new, name, says):
    """A small STCN whose head has become another one."""
    return Bad(name, "model_stats keys.py --shape 64 64", says, change("keys.py", 'head=dict(type="L2Matching")', new))


ALL = [
    option("groups=4", "places=('long', 'self')", "place-that-is-none",
           ("no place 'long'", "long_term, short_term, self")),
    option("groups=4", "places='self'", "places-that-are-no-list", ("places must be a list", "got 'self'")),
    option("groups=4", "groups=3", "groups-that-do-not-divide",
           ("groups must divide the 16 channels", "got 3", "1, 2")),
    option("groups=4", "groups=0", "no-groups", ("groups must be a whole number of at least 1, got 0",)),
    option("grid_factor=2", "grid_factor=0", "no-grid", ("grid_factor must be a whole number of at least 1, got 0",)),
    option("grid_factor=2", "grid_factor=9", "grid-larger-than-the-map",
           ("grid_factor 9 is larger than the map of 5x5 cells", "at most 5")),
    option("groups=4", "resample='values'", "resample-misspelt", ("'features' or 'keys_values', got 'values'",)),
    option("groups=4", "kernel=4", "even-kernel", ("kernel must be an odd whole number, got 4",)),
    option("groups=4", "norm='BN'", "norm-that-is-none", ("norm must be 'LN' or None, got 'BN'",)),
    option("groups=4", "max_offset=-1.0", "negative-bound", ("max_offset", "at least 0 or None, got -1.0")),
    option("groups=4", "grid=2", "option-misspelt", ("no option 'grid'", "grid_factor")),
    option('"GatedDeformableAttention"', '"GatedDeformable"', "layer-misspelt", ("Did you mean",)),
    option('"GatedDeformableAttention", grid_factor=2, groups=4', '"OffsetNetwork"', "another-layer",
           ("deformable", "GatedDeformableAttention", "OffsetNetwork")),
    Bad("weights-without-offset-networks", TEST.replace("deformable.pth", "vanilla.pth"),
        ("9 missing", "matching_head.blocks.0.deformable.networks.long_term")),
    Bad("weights-with-offset-networks", TEST, ("3 unexpected", "networks.short_term"),
        change("deformable.py", "groups=4", "groups=4, places=('long_term', 'self')")),
    key('head=dict(type="GatedPropagation")', "head-that-compares-nothing", ("AffinityMatching", "GatedPropagation")),
    Bad("groups-that-do-not-divide-keys", "model_stats keys.py --shape 64 64",
        ("DeformableMatching.groups must divide the 64 channels", "got 5"), change("keys.py", "groups=4", "groups=5")),
    key('head=dict(type="L2Matching"), grid_factor=20', "grid-larger-than-the-map-of-keys",
        ("grid_factor 20 is larger than the map of 8x8 cells",)),
    Bad("plot-of-the-first-frame", PLOT.replace("--frame 2", "--frame 0"), ("--frame",), usage=True),
    Bad("plot-behind-the-end", PLOT.replace("--frame 2", "--frame 9"), ("--frame 9", "images has only 4 frames")),
    Bad("plot-of-no-offsets", PLOT, ("deformable.py", "no offset network"),
        lambda world: (change("deformable.py", "groups=4", "offsets=False")(world), weights_of(world))),
    Bad("plot-suffix", PLOT.replace("o.png", "o.txt"), ("--out o.txt", ".png")),
    Bad("plot-of-several-views", f"{PLOT} --flip", ("--scales and --flip have no effect",)),
    Bad("plot-of-cut-weights", PLOT, ("deformable.pth",), cut("deformable.pth")),
]


def weights_of(world):
    """Weights that fit the config as it is now."""
    state = build_segmentor(str(world.folder / "deformable.py"), seed=0).state_dict()
    save_checkpoint_file({"state_dict": state}, world.folder / "deformable.pth")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The tiny world, with a tiny deformable DeAOT and a small STCN."""
    made = make_world(tmp_path_factory.mktemp("deformable_template"))
    (made / "deformable.py").write_text(MODEL + SETS)
    (made / "keys.py").write_text(KEYS)
    state = build_segmentor(str(made / "deformable.py"), seed=0).state_dict()
    save_checkpoint_file({"state_dict": state}, made / "deformable.pth")
    vanilla = {name: x for name, x in state.items() if ".deformable." not in name}
    save_checkpoint_file({"state_dict": vanilla}, made / "vanilla.pth")
    return made


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def test_what_is_spoilt_above_runs(world, capfd):
    check_good((STATS, TEST, PLOT, "model_stats keys.py --shape 64 64"), capfd)
