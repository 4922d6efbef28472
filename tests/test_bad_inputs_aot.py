"""Bad input of AOT and DeAOT: one clear line each, and status 2."""

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
    mask,
)
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import save_checkpoint_file

MODEL = """model = dict(
    type="DeAOT", preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(type="ProjectedEncoder", channels=32, backbone=dict(
        type="MobileNetV2", width=0.25, output_stride=16, norm=dict(type="FrozenBN"), frozen_stages=1)),
    identity_bank=dict(type="IdentityBank", norm=True), memory=dict(type="LayeredBank"),
    matching_head=dict(type="GatedPropagation", layers=1, radius=2),
    decoder=dict(type="FPNDecoder", context=False, channels=16), max_objects=10,
    losses=[dict(type="SoftJaccardLoss"), dict(type="ReferenceLoss", losses=[dict(type="SoftJaccardLoss")])])
"""
RATES = "param_scheduler = [dict(type='WarmupPolyLR', least=1e-4, warmup=0.5)]\n"
MERGED = REAL_CLIPS.replace("dataset=dict(\n", "dataset=dict(type='MergedClips', dataset=dict(\n").replace(
    "size=32", "size=33, jump_rule='aot', transforms='aot'").rstrip()[:-1] + "))\n"
STATS = "model_stats aot.py --shape 64 64"
TEST = "test aot.py aot.pth --device cpu --eval davis"
DEMO = "demo aot.py aot.pth images --device cpu --mask first.png --out o"
TRAIN = "train aot.py --work-dir run --device cpu"
NOTHING = np.zeros_like(CLIP[0][1])
HIGH = np.where(CLIP[0][1] > 0, 255, 0).astype(np.uint8)


def weights(*names):
    """A checkpoint of tensors of one number."""
    def act(world):
        torch.save({name: torch.zeros(1) for name in names}, world.folder / "source.pth")
    return act


def option(old, new, name, says):
    """A config whose piece ``old`` has become ``new``."""
    return Bad(name, STATS, says, change("aot.py", old, new))


ALL = [
    option("max_objects=10", "max_objects=0", "no-objects", ("max_objects must be at least 1, got 0",)),
    option("max_objects=10", "max_objects=10, labels_in_memory=2.0", "labels-for-longer-than-all",
           ("labels_in_memory must lie in [0, 1], got 2.0",)),
    option("output_stride=16", "output_stride=4", "stride-of-the-backbone",
           ("output_stride must be 8, 16 or 32, got 4",)),
    option("output_stride=16", "last='c3'", "last-level", ("last must be c4 or c5, got 'c3'",)),
    option("channels=32,", "channels=32, shallow='c9',", "shallow-level", ("must be a level of the backbone", "'c9'")),
    option("context=False", "context=False, skips=('c4', 'c3')", "skips-of-the-decoder", ("three levels", "c4")),
    option("layers=1", "layer=1", "option-misspelt", ("no option 'layer'", "Did you mean 'layers'")),
    option('"LayeredBank"', '"LayerBank"', "memory-misspelt", ("Did you mean 'LayeredBank'",)),
    option('"LayeredBank"', '"LayeredBank", max_tokens=0', "memory-without-room", ("max_tokens",)),
    option('"LayeredBank"', '"LayeredBank", gap=0', "gap-of-nothing", ("LayeredBank.gap must be", "got 0")),
    option("losses=[dict(type=\"SoftJaccardLoss\")])", "losses=[], until=0)", "reference-loss-of-no-time",
           ("until must lie in (0, 1], got 0",)),
    Bad("divisor-of-nothing", STATS, ("divisor", "got 0"), change("aot.py", "divisor=16", "divisor=0")),
    Bad("id-255-in-the-first-mask", DEMO, ("no object", "255, which means void"), mask("first.png", HIGH)),
    Bad("empty-first-mask", DEMO, ("no object", "all background"), mask("first.png", NOTHING)),
    Bad("short-side-under-17", f"{TEST} --max-short-side 16", ("max_short_side must be at least 17 pixels", "got 16")),
    Bad("long-side-under-17", f"{DEMO} --max-long-side 16", ("max_long_side must be at least 17 pixels", "got 16")),
    Bad("cut-weights", TEST, ("aot.pth",), cut("aot.pth")),
    Bad("weights-of-another-size", TEST, ("aot.pth",), change("aot.py", "channels=32", "channels=64")),
    Bad("converter-of-the-other-family", "convert_checkpoint aot source.pth o.pth",
        ("another family than aot", "deaot"),
        weights("LSTT.layers.0.linear_QV.weight")),
    Bad("converter-of-stcn", "convert_checkpoint deaot official.pth o.pth", ("no weights of deaot",)),
    Bad("converter-of-swin", "convert_checkpoint deaot source.pth o.pth", ("Swin encoder",),
        weights("LSTT.layers.0.linear_QV.weight", "encoder.patch_embed.proj.weight",
                "encoder.layers.0.blocks.0.attn.relative_position_bias_table")),
    Bad("jump-rule-misspelt", TRAIN, ("'aott'", "aot"), change("aot.py", "jump_rule='aot'", "jump_rule='aott'")),
    Bad("transforms-misspelt", TRAIN, ("Did you mean 'aot'",),
        change("aot.py", "transforms='aot'", "transforms='aott'")),
    Bad("merged-more-often-than-always", TRAIN, ("probability in [0, 1], got 2",),
        change("aot.py", "type='MergedClips'", "type='MergedClips', probability=2")),
    Bad("warm-up-longer-than-the-run", TRAIN, ("warmup must lie in [0, 1), got 1.5",),
        change("aot.py", "warmup=0.5", "warmup=1.5")),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The tiny world, with a tiny DeAOT."""
    made = make_world(tmp_path_factory.mktemp("aot_template"))
    (made / "aot.py").write_text(MODEL + TRAINING + RATES + SETS + MERGED)
    save_checkpoint_file({"state_dict": build_segmentor(str(made / "aot.py"), seed=0).state_dict()}, made / "aot.pth")
    return made


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def test_what_is_spoilt_above_runs(world, capfd):
    check_good((STATS, TEST, DEMO, f"{TRAIN} --cfg-options train_cfg.max_iters=1"), capfd)
