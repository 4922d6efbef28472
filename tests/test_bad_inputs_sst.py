"""Bad input of SST and CFBI: one clear line each, and status 2."""

import numpy as np
import pytest
import torch

from tests.bad_inputs_helpers import (
    CLIP,
    REAL_CLIPS,
    SETS,
    TRAINING,
    Bad,
    change,
    check_bad,
    check_good,
    cut,
    make_world,
    picture,
)
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import save_checkpoint_file

MODEL = """norm = dict(type="GN", channels_per_group=4)
model = dict(
    type="SST", preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(
        type="PixelEmbedding", channels=12,
        backbone=dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=8, widths=(8, 8, 16),
                      output_stride=16, norm=norm),
        neck=dict(type="DeepLabV3Plus", channels=16, low_channels=8, dropout=0.0, norm=norm)),
    matching_head=dict(type="SSTEncoder", heads=2, attentions=[dict(type="LocalAttention", h=3),
                                                               dict(type="StridedAttention", h=2)]),
    memory=dict(type="FrameBank", every=1, max_frames=3, keep_prompts=False),
    decoder=dict(type="CollaborativeEnsembler", channels=16, prehead_channels=8, refine_channels=8, norm=norm),
    losses=[dict(type="BootstrappedCE", count_void=True)])
"""
CLIPS = REAL_CLIPS.replace("size=32", "size=33, jump_rule='cfbi', transforms='cfbi'")
RATES = "param_scheduler = [dict(type='WarmupPolyLR', floor=1e-5, warmup=2)]\n"
STATS = "model_stats sst.py --shape 64 64"
TEST = "test sst.py sst.pth --device cpu --eval davis"
DEMO = "demo sst.py sst.pth images --device cpu --mask first.png --out o"
TRAIN = "train sst.py --work-dir run --device cpu"
CONVERT = "convert_checkpoint cfbi source.pth o.pth"
MANY = np.where(CLIP[0][1] > 0, 300, 0).astype(np.uint16)


def weights(*names):
    """A checkpoint of tensors of one number."""
    def act(world):
        torch.save({name: torch.zeros(1) for name in names}, world.folder / "source.pth")
    return act


def option(old, new, name, *says):
    """A config whose piece ``old`` has become ``new``."""
    return Bad(name, STATS, says, change("sst.py", old, new))


def head(name, given, *says):
    """A further option of the matching head."""
    return option("heads=2", f"heads=2, {given}", name, *says)


ALL = [
    option("max_frames=3", "max_frames=0", "buffer-of-no-frames", "max_frames must be a whole number of at least 1"),
    option("h=3", "h=0", "window-of-no-cells", "LocalAttention.h must be a whole number of at least 1", "got 0"),
    option("h=3", "h=(3, 2)", "window-of-two-numbers", "LocalAttention.h must be a whole number", "got (3, 2)"),
    option("h=2", "h=0", "steps-of-no-length", "StridedAttention.h must be a whole number of at least 1", "got 0"),
    option("heads=2", "heads=5", "heads-that-do-not-divide", "heads must divide the 12 channels", "got 5"),
    head("cache-without-causal", "cache='layers'", "cache='layers' needs causal=True"),
    head("cache-misspelt", "cache='layer'", "Did you mean 'layers'"),
    head("score-misspelt", "score='cosin'", "score must be one of", "Did you mean 'cosine'"),
    head("stride-of-the-buffer", "downsample=3", "downsample must be 1 or 2, got 3"),
    head("heads-kept-misspelt", "heads_kept='maximum'", "heads_kept must be one of max, all"),
    head("unknown-axis", "position=dict(type='SinusoidalPosition', axes=('t', 'z'))", "axes must be some of t, y, x"),
    head("positions-of-no-frames", "position=dict(type='LearnedPosition', frames=0)", "at least one frame"),
    head("position-misspelt", "position=dict(type='SinePosition')", "unknown layer type 'SinePosition'"),
    option("dict(type=\"StridedAttention\", h=2)", "dict(type=\"MixedHeadsAttention\", parts=[])",
           "heads-of-no-parts", "parts must be at least two attentions"),
    option("type=\"StridedAttention\"", "type=\"StrideAttention\"", "attention-misspelt",
           "Did you mean 'StridedAttention'"),
    option("type=\"SST\",", "type=\"SST\", features=(),", "no-features", "SST.features must be some of embedding"),
    option("type=\"SST\",", "type=\"SST\", features=('embeding',),", "feature-misspelt", "Did you mean 'embedding'"),
    option("type=\"SST\",", "type=\"SST\", given_frames=0,", "no-given-frames", "given_frames must be at least 1"),
    option("channels=16, prehead", "slots_per_pass=0, channels=16, prehead", "passes-of-no-slots",
           "slots_per_pass must be at least 1"),
    option("channels=16, prehead", "depths=(2, 2), channels=16, prehead", "two-stages-of-a-decoder",
           "depths must be 3 numbers of at least 1, got (2, 2)"),
    option("channels=16, low", "low_level='c9', channels=16, low", "level-of-the-neck", "low_level must be a level"),
    option("channels=12,", "channels=12, low_level='c9',", "level-of-the-encoder",
           "PixelEmbedding.low_level must be a level of the backbone"),
    option("channels=12,", "channels=12, weights='official.pth',", "no-deeplab", "holds no DeepLabv3+"),
    option("channels=12,", "channels=12, weights='nowhere.pth',", "weights-that-are-nowhere", "nowhere.pth"),
    Bad("short-side-under-17", f"{TEST} --max-short-side 16", ("max_short_side must be at least 17 pixels", "got 16")),
    Bad("ids-over-254", DEMO, ("first.png", "8 bits per pixel"), picture("first.png", MANY)),
    Bad("cut-weights", TEST, ("sst.pth",), cut("sst.pth")),
    Bad("weights-of-another-size", TEST, ("sst.pth",), change("sst.py", "channels=12", "channels=20")),
    Bad("weights-of-cfbi-plus", CONVERT, ("weights of CFBI+",), weights("dynamic_seghead.S1_IA1.IA.weight")),
    Bad("weights-of-a-small-cfbi", CONVERT, ("CFBI on a MobileNet-V2",),
        weights("feature_extracter.backbone.features.0.0.weight")),
    Bad("weights-of-stcn", "convert_checkpoint cfbi official.pth o.pth", ("belongs to this family",)),
    Bad("jump-rule-misspelt", TRAIN, ("'cfbii'", "cfbi"), change("sst.py", "rule='cfbi'", "rule='cfbii'")),
    Bad("floor-below-zero", TRAIN, ("floor >= 0",), change("sst.py", "floor=1e-5", "floor=-1e-5")),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The tiny world, with a tiny SST."""
    made = make_world(tmp_path_factory.mktemp("sst_template"))
    (made / "sst.py").write_text(MODEL + TRAINING + RATES + SETS + CLIPS)
    save_checkpoint_file({"state_dict": build_segmentor(str(made / "sst.py"), seed=0).state_dict()}, made / "sst.pth")
    return made


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def test_what_is_spoilt_above_runs(world, capfd):
    check_good((STATS, TEST, DEMO, f"{TRAIN} --cfg-options train_cfg.max_iters=1"), capfd)
