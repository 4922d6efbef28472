"""Both stages of the AOT family's training, four iterations each, on made-up folders; a stopped run goes on exactly."""

import copy
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from train_helpers import ROOT, differing

from tests.datasets.trees import davis_tree, youtube_tree
from vosplug.engine import run_training
from vosplug.registry import HOOKS
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

ITERATIONS = 4
OFTEN = dict(default_hooks=dict(checkpoint=dict(interval=1, keep=None)))


class StopError(Exception):
    """Ends a run as a crash would."""


@HOOKS.register_module()
class StopOfAOT(Hook):
    """Raise :class:`StopError` after an iteration of a stage."""

    priority = "LOWEST"

    def __init__(self, stage: int, iteration: int):
        self.stage, self.iteration = stage, iteration

    def after_step(self, runner) -> None:
        if (runner.stage_index, runner.iter) == (self.stage, self.iteration):
            raise StopError


@HOOKS.register_module()
class WatchBank(Hook):
    """Note, for every iteration, whether labels were memorised and what gradient the identity bank got."""

    priority = "LOWEST"
    seen: ClassVar[list] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        model = runner.model
        bank = model.identity_bank.conv.weight
        self.seen.append((runner.stage_index, batch_idx, model.teacher_forcing, bank.requires_grad,
                          bank.detach().clone()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DAVIS, YouTube-VOS and static images, tiny."""
    root = tmp_path_factory.mktemp("aot_data")
    davis_tree(root / "DAVIS")
    youtube_tree(root / "YouTubeVOS")
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        labels = np.zeros((60, 80), np.uint8)
        labels[10:45, 20 + number:60] = 1
        (root / "flat").mkdir(exist_ok=True)
        write_image(root / f"flat/{number}.jpg", image)
        write_mask(root / f"flat/{number}.png", labels)
    return root


def config(data, folder, name="deaott", **changes):
    """The config of a model on the small data, in small clips."""
    cfg = Config.fromfile(ROOT / "configs" / f"{name}.py")
    cfg.work_dir = str(folder)
    outer = cfg.train_dataloader.dataset
    outer.dataset.each.size = 65
    for clips, place in zip(outer.dataset.datasets, ("DAVIS", "YouTubeVOS"), strict=True):
        clips.videos.data_root = str(data / place)
    cfg.merge_from_dict(dict(
        train_dataloader=dict(batch_size=2, num_workers=0), train_cfg=dict(max_iters=ITERATIONS, val_interval=None),
        optim_wrapper=dict(amp=None)))
    cfg.val_dataset = None
    cfg.pop("val_evaluator")
    sets = [dict(type="StaticImageClips", data_root=str(data / "flat"), layout="flat")]
    cfg.stages[0]["train_dataloader"]["dataset"]["dataset"] = dict(datasets=sets, repeats=[1])
    cfg.merge_from_dict(copy.deepcopy(changes))
    return cfg


def train(data, folder, resume=False, **changes):
    return run_training(config(data, folder, **changes), resume=resume, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run, and what its hook saw."""
    folder = tmp_path_factory.mktemp("whole_aot")
    WatchBank.seen.clear()
    train(data, folder, custom_hooks=[dict(type="WatchBank")], **OFTEN)
    return folder, list(WatchBank.seen)


def test_labels_then_predictions(whole):
    _, seen = whole
    assert [(stage, iteration) for stage, iteration, *_ in seen] == [(s, i) for s in (0, 1) for i in range(ITERATIONS)]
    assert [labels for _, _, labels, _, _ in seen] == [True] * 6 + [False] * 2
    assert [trained for *_, trained, _ in seen] == [True] * 6 + [False] * 2
    weights = [weight for *_, weight in seen]
    moved = [not torch.equal(a, b) for a, b in zip(weights, weights[1:], strict=False)]
    assert moved[:3] == [True] * 3 and moved[4] and moved[5:] == [False] * 2


def test_weights_are_trained_and_their_average_is_published(whole):
    folder, _ = whole
    start, end = (load_checkpoint_file(folder / "0_static" / f"iter_{n}.pth") for n in (1, ITERATIONS))
    assert all(torch.isfinite(x).all() for x in end["train_state_dict"].values())
    trained = {key for key, x in end["train_state_dict"].items() if not torch.equal(x, start["train_state_dict"][key])}
    assert "matching_head.blocks.0.query_value.weight" in trained and "encoder.proj.weight" in trained
    assert not any(key.startswith(("encoder.backbone.features.0.", "encoder.backbone.features.3.")) for key in trained)
    assert end["ema"] == dict(steps=ITERATIONS)
    assert any(not torch.equal(x, end["state_dict"][key]) for key, x in end["train_state_dict"].items())


@pytest.mark.parametrize("stage, iteration", [(0, 2), (1, 3)])
def test_a_stopped_run_goes_on_exactly(data, tmp_path, whole, stage, iteration):
    with pytest.raises(StopError):
        train(data, tmp_path, custom_hooks=[dict(type="StopOfAOT", stage=stage, iteration=iteration)], **OFTEN)
    train(data, tmp_path, resume=True, **OFTEN)
    assert differing(tmp_path / "final.pth", whole[0] / "final.pth") == []
    one, two = (load_checkpoint_file(path / "1_main" / f"iter_{ITERATIONS}.pth") for path in (tmp_path, whole[0]))
    assert all(torch.equal(x, two["train_state_dict"][key]) for key, x in one["train_state_dict"].items())
    assert one["param_schedulers"] == two["param_schedulers"]


def test_aot_trains_too(data, tmp_path):
    train(data, tmp_path, name="aott", train_cfg=dict(max_iters=1))
    state = load_checkpoint_file(tmp_path / "final.pth")["state_dict"]
    assert "matching_head.blocks.0.short_term.offset_values" in state
    assert all(torch.isfinite(x).all() for x in state.values())
