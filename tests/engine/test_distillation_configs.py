"""Every row of distillation: its config is built in full, and trained for two steps with narrow parts."""

import copy
import functools

import numpy as np
import pytest
import torch

from tests.datasets.trees import davis_tree, youtube_tree
from vosplug.engine import run_training
from vosplug.models.distillers import Teacher
from vosplug.registry import BACKBONES, SEGMENTORS, TASKS
from vosplug.structures import ClipSample
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.configs import list_configs, load_config
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

ROWS = ("full", "vanilla", "grid", "dist", "pefd", "att1", "att2", "att3", "kl_attention", "kl_logits", "pseudo",
        "regions")
DISTILLED = ["deformable_deaott_distilled", *(f"distill/{size}{row}" for size in ("", "small_") for row in ROWS)]
LABELLED = ["deaot_small", "deaot_small_student", "deformable_deaot_small"]
TERMS = {"dist": "inter intra", "pefd": "pefd", "att1": "inter att", "att2": "inter att", "att3": "inter att",
         "kl_logits": "kl", "pseudo": "pseudo"}
SIDE = 65


def test_every_row_is_there_in_both_sizes():
    assert {name for name in list_configs() if name.startswith("distill/")} == set(DISTILLED[1:])


@functools.cache
def full_teacher(name):
    """Teachers are large: each is built once."""
    return Teacher(name, "random")


@pytest.mark.parametrize("name", DISTILLED)
def test_built_in_full(name, monkeypatch):
    """The student, its features and its terms, with the teacher that the config names."""
    cfg = load_config(name)
    monkeypatch.setattr(Teacher, "build", lambda settings: full_teacher(settings["config"]))
    task, model = TASKS.build(cfg.task), SEGMENTORS.build(cfg.model)
    assert len(task.teacher.model.matching_head.blocks) == 3 and len(model.matching_head.blocks) == 1
    task.prepare(model)
    row = name.split("/")[-1].removeprefix("small_")
    assert [pair.name for pair in task.pairs] == TERMS.get(row, "inter intra att").split()
    assert (model.matching_head.blocks[0].deformable is None) == (row == "vanilla")
    weights = {pair.name: pair.loss.weight for pair in task.pairs}
    assert weights.get("att", 1.5) == 1.5 and weights.get("inter", 1.0) == weights.get("intra", 1.0) == 1.0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DAVIS, YouTube-VOS and still images, tiny."""
    root = tmp_path_factory.mktemp("data")
    davis_tree(root / "DAVIS")
    youtube_tree(root / "YouTubeVOS")
    (root / "flat").mkdir()
    for number in range(3):
        labels = np.zeros((60, 80), np.uint8)
        labels[10:45, 20 + number:60] = 1
        image = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        write_image(root / f"flat/{number}.jpg", image)
        write_mask(root / f"flat/{number}.png", labels)
    return root


def narrow(model):
    """Fewer channels everywhere."""
    backbone = model.encoder.backbone
    if backbone.type == "ResNet":
        backbone = BACKBONES.example("ResNet", widths=(8, 8, 16), norm=dict(type="FrozenBN"), frozen_stages=1)
    else:
        backbone.width = 0.25
    model.encoder.backbone, model.encoder.channels, model.decoder.channels = backbone, 16, 16
    return model


def on_tiny_data(clips, data):
    """A data set of clips, of the small files and in small frames."""
    if clips.type in ("MixedClips", "MergedClips"):
        if "each" in clips:
            clips.each.size = SIDE
        for inner in [clips.dataset] if "dataset" in clips else clips.datasets:
            on_tiny_data(inner, data)
        if clips.type == "MixedClips" and clips.datasets[0].type == "StaticImageClips":
            del clips.datasets[1:], clips.repeats[1:]
    elif clips.type == "SyntheticClips":
        clips.size, clips.options = (SIDE, SIDE), dict(textures=8)
    elif clips.type == "StaticImageClips":
        clips.data_root, clips.layout = str(data / "flat"), "flat"
    else:
        if "size" in clips:
            clips.size = SIDE
        source = clips.videos if "videos" in clips else clips
        place = source.data_root.replace("data/synthetic/davis", "data/DAVIS").replace("data/static", "data/flat")
        source.data_root = place.replace("data/", f"{data}/")
        if clips.get("sequences"):
            clips.sequences = str(data / "DAVIS/ImageSets/2017/train.txt")


def narrow_config(name, data, folder):
    cfg = load_config(name, work_dir=str(folder))
    narrow(cfg.model)
    if "task" in cfg:
        taught_by = load_config(cfg.task.teacher.config).model
        cfg.task.teacher = dict(config=dict(model=narrow(taught_by)), weights="random")
    for settings in (cfg, *(cfg.get("stages") or ())):
        if "train_dataloader" in settings and "dataset" in settings["train_dataloader"]:
            on_tiny_data(settings["train_dataloader"]["dataset"], data)
        settings.pop("max_iters", None)
    for stage in cfg.get("stages") or ():
        stage["max_iters"] = 1
    cfg.train_cfg = dict(max_iters=2)
    cfg.train_dataloader.batch_size, cfg.train_dataloader.num_workers, cfg.optim_wrapper.amp = 2, 0, None
    cfg.val_dataset = None
    cfg.pop("val_evaluator", None)
    cfg.curriculum = []
    return cfg


@pytest.mark.parametrize("name", [*DISTILLED, *LABELLED])
def test_trained_two_steps_with_narrow_parts(name, data, tmp_path):
    cfg = narrow_config(name, data, tmp_path)
    steps = run_training(copy.deepcopy(cfg), device=torch.device("cpu"))
    assert sum(result.iterations for result in steps) == 2
    weights = load_checkpoint_file(tmp_path / "final.pth")["state_dict"]
    torch.manual_seed(0)
    fresh = SEGMENTORS.build(cfg.model).state_dict()
    assert set(weights) == set(fresh)
    assert all(torch.isfinite(x).all() for x in weights.values() if x.is_floating_point())
    assert any(not torch.equal(x, fresh[key]) for key, x in weights.items())


@pytest.mark.slow
def test_the_published_pair_at_its_published_size():
    cfg = load_config("deformable_deaott_distilled", cfg_options={"task.teacher.weights": "random"})
    torch.manual_seed(0)
    model, task = SEGMENTORS.build(cfg.model).train(), TASKS.build(cfg.task)
    model.use_task(task)
    labels = torch.zeros(3, 465, 465, dtype=torch.uint8)
    labels[0, 100:200, 100:300], labels[0, 250:400, 50:200], labels[1:] = 1, 2, 255
    frames = torch.randint(0, 256, (3, 3, 465, 465), dtype=torch.uint8)
    batch = model.data_preprocessor(dict(inputs=[frames], data_samples=[ClipSample(labels, (0, 0), (1, 2))]), True)
    losses = model(**batch, mode="loss")
    assert set(losses) == {"loss_inter", "loss_intra", "loss_att", "agreement"}
    sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(grads) > 50 and all(torch.isfinite(grad).all() for grad in grads)
    assert all(0 < float(value.detach()) < 3 for name, value in losses.items() if name.startswith("loss_"))
