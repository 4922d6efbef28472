"""The three stages of TTVOS's training, two iterations each, on made-up folders; a stopped run goes on exactly."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from train_helpers import ROOT, differing, weights

from tests.datasets.trees import davis_tree, youtube_tree
from vosplug.engine import run_training
from vosplug.registry import HOOKS
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

ITERATIONS, SIZE = 2, (32, 48)
NARROW = dict(type="ResNet", depth=None, block="half_dilated", blocks=(1, 1, 1, 2), stem_channels=8, widths=(8,) * 4,
              output_stride=16, frozen_stages=3, freeze_norm_stats=False, _delete_=True)
STAGES = ["0_warped_images", "1_youtube_vos", "2_davis"]


class StopError(Exception):
    """Ends a run as a crash would."""


@HOOKS.register_module()
class StopOfTTVOS(Hook):
    """Raise :class:`StopError` after the first iteration of the second stage."""

    priority = "LOWEST"

    def after_step(self, runner) -> None:
        if (runner.stage_index, runner.iter) == (1, 1):
            raise StopError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DAVIS, YouTube-VOS and three saliency sets, tiny."""
    root = tmp_path_factory.mktemp("ttvos_data")
    davis_tree(root / "DAVIS")
    (root / "DAVIS/ImageSets/2016").mkdir(parents=True, exist_ok=True)
    names = (root / "DAVIS/ImageSets/2017/train.txt").read_text()
    (root / "DAVIS/ImageSets/2016/train.txt").write_text(names)
    youtube_tree(root / "YouTubeVOS")
    for folder, images, masks in (("ecssd", "images", "ground_truth_mask"), ("MSRA10K", "", ""),
                                  ("HKU-IS", "imgs", "gt")):
        labels = np.zeros((60, 80), np.uint8)
        labels[10:45, 20:60] = 1
        for name, write, array in ((f"{images}/0.jpg", write_image, np.zeros((60, 80, 3), np.uint8)),
                                   (f"{masks}/0.png", write_mask, labels)):
            path = root / "static" / folder / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, array)
    return root


def shrunk(options, root):
    """Options of a data set with small clips, from other folders."""
    if isinstance(options, (list, tuple)):
        return [shrunk(value, root) for value in options]
    if not isinstance(options, dict):
        return options
    found = {key: shrunk(value, root) for key, value in options.items()}
    if "size" in found:
        found["size"] = SIZE
    if "data_root" in found:
        found["data_root"] = found["data_root"].replace("data", str(root), 1)
    return found


def train(data, folder, resume=False, **changes):
    cfg = Config.fromfile(ROOT / "configs" / "ttvos_r18.py")
    cfg.work_dir = str(folder)
    cfg.train_dataloader.dataset.datasets = shrunk(cfg.train_dataloader.dataset.to_dict()["datasets"], data)
    for stage in cfg.stages:
        stage.pop("train_cfg", None)
        stage["max_iters"] = ITERATIONS
        if "train_dataloader" in stage:
            stage["train_dataloader"]["batch_size"] = 2
            sets = stage["train_dataloader"]["dataset"]
            sets["datasets"] = shrunk([dict(one) for one in sets["datasets"]], data)
    cfg.merge_from_dict(dict(
        model=dict(backbone=NARROW), train_dataloader=dict(batch_size=2, num_workers=0),
        train_cfg=dict(max_iters=ITERATIONS, val_interval=None),
        default_hooks=dict(checkpoint=dict(interval=1, keep=None))))
    cfg.val_dataset = None
    cfg.pop("val_evaluator")
    cfg.merge_from_dict(changes)
    return run_training(cfg, resume=resume, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole_ttvos")
    train(data, folder)
    return folder


def test_only_the_last_stage_of_the_backbone_is_trained_and_its_norms_too(whole):
    ends = [weights(whole / stage / f"iter_{ITERATIONS}.pth") for stage in STAGES]
    first = weights(whole / STAGES[0] / "iter_1.pth")
    assert all(torch.isfinite(x).all() for end in ends for x in end.values())
    for before, after in zip([first, *ends[:-1]], ends, strict=True):
        moved = {name for name, x in after.items() if not torch.equal(x, before[name])}
        assert {name.split(".")[1] for name in moved if name.startswith("backbone.")} == {"layer4"}
        assert {"backbone.layer4.0.bn1.running_mean", "decoder.transition.weight", "decoder.template_mask.weight",
                "matching_head.make_key.proj.weight", "decoder.share_out.weight"} <= moved
    settings = [load_checkpoint_file(whole / stage / f"iter_{ITERATIONS}.pth")["optimizer"] for stage in STAGES]
    assert [one["param_groups"][0]["lr"] for one in settings] == [2e-4, 3e-4, 1e-4]


def test_a_stopped_run_goes_on_exactly(data, tmp_path, whole):
    with pytest.raises(StopError):
        train(data, tmp_path, custom_hooks=[dict(type="StopOfTTVOS")])
    train(data, tmp_path, resume=True)
    assert differing(tmp_path / "final.pth", whole / "final.pth") == []
