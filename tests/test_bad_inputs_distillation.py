"""Bad input of distillation: one clear line each, and status 2."""

import pytest

from tests.bad_inputs_helpers import Bad, both, change, check_bad, cut, make_world, mask, remove, text
from tests.test_bad_inputs_aot import MODEL, NOTHING, RATES
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import save_checkpoint_file

SETS = "data_root = 'davis'\ntest_dataset = dict(type='DavisDataset', data_root=data_root)\n" \
       "test_evaluator = dict(type='DavisMetric')\n"
TASK = """train_cfg = dict(max_iters=2)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=0.01))
model["losses"] = []
task = dict(type="Distillation", prompt="given", teacher=dict(config="aot.py", weights="aot.pth"), pairs=[
    dict(teacher="logits", student="logits", loss=dict(type="InterObjectLoss")),
    dict(teacher="propagation.0.id.output", student="propagation.0.id.output", loss=dict(type="CKALoss"))])
train_dataloader = dict(batch_size=1, num_workers=0, dataset=dict(
    type="UnlabelledClips", size=33, videos=dict(type="DavisDataset", data_root="davis", split="train")))
"""
TRAIN = "train distill.py --work-dir run --device cpu"


def option(old, new, name, *says):
    """A config whose piece ``old`` has become ``new``."""
    return Bad(name, TRAIN, says, change("distill.py", old, new), keeps=())


CKA = 'loss=dict(type="CKALoss"))'
ALL = [
    option('weights="aot.pth"', "weights=None", "no-weights-of-the-teacher", "needs the weights of its teacher"),
    option('weights="aot.pth"', 'weights="none.pth"', "missing-weights", "task.teacher", "not found: none.pth"),
    option('weights="aot.pth"', 'weights="tiny.pth"', "weights-of-another-method", "task.teacher", "does not fit"),
    Bad("damaged-weights", TRAIN, ("task.teacher", "aot.pth", "damaged"), cut("aot.pth")),
    option('config="aot.py"', 'config="r50_deaotll"', "unknown-teacher", "Did you mean 'r50_deaotl'"),
    option('config="aot.py"', 'config="data_only.py"', "teacher-without-a-model", "no 'model'"),
    option('config="aot.py", ', "", "teacher-without-a-config", "needs teacher=dict(config=..., weights=...)"),
    option("weights=\"aot.pth\"", "weight=\"aot.pth\"", "misspelt-option-of-the-teacher", "Did you mean 'weights'"),
    option('teacher="propagation.0.id', 'teacher="propagation.2.id', "feature-of-a-layer-that-is-not-there",
           "the teacher has no feature 'propagation.2.id.output'", "It has: coarse"),
    option('student="propagation.0.id.output"', 'student="propagation.0.id.outptu"', "misspelt-feature",
           "the student has no feature", "Did you mean 'propagation.0.id.output'"),
    option('teacher="propagation.0.id.output", ', "", "pair-without-a-teacher", "pairs.1 lacks 'teacher'"),
    option('"InterObjectLoss"', '"SoftJaccardLoss"', "loss-of-one-model", "is no loss between two models"),
    option('"InterObjectLoss"', '"IntraObjectLoss", scope="frame"', "unknown-scope", "must be one of clip, batch"),
    option('"InterObjectLoss"', '"KLLogitLoss", temperature=0', "temperature-of-zero", "must be above 0, got 0"),
    option('"InterObjectLoss"', '"InterObjectLoss", channels=1', "one-channel", "channels must be at least 2"),
    option(CKA, 'loss=dict(type="CKALoss", estimator="exact"))', "unknown-estimator", "one of biased, unbiased"),
    option(CKA, 'loss=dict(type="CKALoss", examples="batch"))', "too-few-clips", "at least 3 examples", "got 1"),
    option(CKA, 'loss=dict(type="IntraObjectLoss"))', "relations-of-cells", "IntraObjectLoss compares 'logits'"),
    option("optim_wrapper", "clip = dict(length=1)\noptim_wrapper", "clips-of-one-frame", "at least 2 frames", "got 1"),
    option(CKA, 'loss=dict(type="CKALoss")), dict(teacher="coarse", student="coarse", ' + CKA, "two-terms-of-one-name",
           "two pairs of Distillation are called 'att'"),
    option('student="propagation.0.id.output", ' + CKA,
           'student="coarse", loss=dict(type="KLAttentionLoss", over="channels"))', "unequal-channels",
           "the same channels", "has 16", "over='cells'"),
    Bad("unequal-keys", TRAIN, ("the same keys", "grid_factor=1"), both(
        change("distill.py", "layers=1, radius=2",
               "layers=1, radius=2, deformable=dict(type='GatedDeformableAttention', grid_factor=2)"),
        change("distill.py", 'teacher="propagation.0.id.output", student="propagation.0.id.output", ' + CKA,
               'teacher="propagation.0.id.weights", student="propagation.0.id.weights", '
               'loss=dict(type="KLAttentionLoss"))'))),
    option('prompt="given"', 'prompt="masks"', "unknown-prompt", "prompt must be one of given, regions"),
    option('prompt="given"', 'prompt="regions"', "regions-on-masks", "opens no annotation", "UnlabelledClips"),
    option('prompt="given"', 'regions=(1, 300)', "too-many-regions", "in 1..254"),
    option('prompt="given"', 'feedback="both"', "unknown-feedback", "feedback must be one of"),
    option('model["losses"] = []', "", "losses-on-labels", "losses that do", "set model.losses=[]"),
    option('"UnlabelledClips", size=33', '"VideoClips", size=33, transforms="aot", complete_first=True',
           "clips-chosen-by-labels", "depend on labels of later frames"),
    option('"UnlabelledClips", size=33', '"UnlabelledClips", size=33, max_objects=0', "no-objects", "max_objects >= 1"),
    option("videos=dict(type=\"DavisDataset\", data_root=\"davis\", split=\"train\")", "data_root='nowhere'",
           "no-folder", "folder not found: nowhere"),
    Bad("empty-first-masks", TRAIN, ("no object",), both(
        *(mask(f"davis/Annotations/480p/one/{t:05d}.png", NOTHING) for t in range(4)))),
    Bad("no-videos", TRAIN, ("has no videos", "<video>.mp4"), both(
        change("distill.py", "videos=dict(type=\"DavisDataset\", data_root=\"davis\", split=\"train\")",
               "data_root='none'"), text("none/readme.txt"))),
    Bad("lost-frames", TRAIN, ("one",), remove("davis/JPEGImages/480p/one")),
    Bad("no-log", "plot_losses davis --out l.png", ("has no log of a training",)),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A small DeAOT as teacher, and a config of a student of its kind."""
    folder = make_world(tmp_path_factory.mktemp("template"))
    (folder / "aot.py").write_text(MODEL + RATES + SETS)
    save_checkpoint_file({"state_dict": build_segmentor(str(folder / "aot.py"), seed=0).state_dict()},
                         folder / "aot.pth")
    (folder / "distill.py").write_text(MODEL + RATES + SETS + TASK)
    return folder


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in ALL])
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def test_the_config_itself_is_good(world):
    from tests.bad_inputs_helpers import run_line

    assert run_line(TRAIN) == 0 and (world.folder / "run" / "final.pth").is_file()
