"""Trainings by a teacher: what is saved, what is resumed, what is read."""

import copy

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from train_helpers import differing

from tests.datasets.trees import davis_tree
from vosplug.engine import run_training
from vosplug.registry import HOOKS, SEGMENTORS
from vosplug.utils import mask_files
from vosplug.utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from vosplug.utils.errors import CheckpointError, ConfigError
from vosplug.utils.masks import read_mask

ITERATIONS = 4


class StopError(Exception):
    """Ends a run as a crash would."""


@HOOKS.register_module()
class WatchTeacher(Hook):
    """Compare the teacher with its weights before training, note whose masks are memorised, and stop if asked to."""

    priority = "LOWEST"
    leads: list = []  # noqa: RUF012 (read by tests)

    def __init__(self, stop: int | None = None):
        self.stop = stop

    def before_train(self, runner) -> None:
        self.before = copy.deepcopy(runner.model.task.teacher.model.state_dict())
        self.leads.clear()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.leads.append(runner.model.task.leads)

    def after_step(self, runner) -> None:
        teacher = runner.model.task.teacher.model
        assert all(torch.equal(x, self.before[name]) for name, x in teacher.state_dict().items())
        assert not teacher.training and all(p.grad is None for p in teacher.parameters())
        owned = {id(p) for group in runner.optim_wrapper.optimizer.param_groups for p in group["params"]}
        assert not owned & {id(p) for p in teacher.parameters()}
        if runner.iter == self.stop:
            raise StopError


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A checkpoint of the teacher."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    save_checkpoint_file(dict(state_dict=SEGMENTORS.build(SEGMENTORS.example("DeAOT", 1)).state_dict()), path)
    return path


def config(folder, teacher, **changes):
    """A DeAOT that is taught by one of three layers; its projections of features are trained beside it."""
    logits = dict(teacher="logits", student="logits")
    pairs = [dict(logits, loss=dict(type="InterObjectLoss")),
             dict(logits, loss=dict(type="PseudoLabelLoss")),
             dict(teacher="decoded", student="decoded", loss=dict(type="ProjectorEnsembleLoss", weight=1.0))]
    base = dict(
        work_dir=str(folder),
        model=SEGMENTORS.example("DeAOT", losses=[]),
        task=dict(type="Distillation", teacher=dict(config=dict(model=SEGMENTORS.example("DeAOT", 1)),
                                                    weights=str(teacher)), pairs=pairs),
        train_dataloader=dict(dataset=dict(type="TinyClips", size=33), batch_size=2, num_workers=0),
        clip=dict(length=3, max_skip=2), train_cfg=dict(max_iters=ITERATIONS),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2), clip_grad=dict(max_norm=1.0),
                           accumulative_counts=2),
        param_scheduler=[dict(type="LinearLR", start_factor=0.1, end=3)],
        default_hooks=dict(ema=dict(momentum=0.1), checkpoint=dict(interval=2, keep=None)),
        custom_hooks=[dict(type="WatchTeacher")])
    cfg = Config(copy.deepcopy(base))
    cfg.merge_from_dict(copy.deepcopy(changes))
    return cfg


def train(folder, teacher, resume=False, **changes):
    return run_training(config(folder, teacher, **changes), resume=resume, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def whole(teacher, tmp_path_factory):
    """An uninterrupted run with EMA and accumulated gradients, and whose masks it memorised."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, teacher)
    return folder, list(WatchTeacher.leads)


def test_the_teacher_is_in_no_checkpoint(whole):
    folder, _ = whole
    torch.manual_seed(0)
    names = set(SEGMENTORS.build(SEGMENTORS.example("DeAOT", losses=[])).state_dict())
    final, last = (load_checkpoint_file(folder / name) for name in ("final.pth", f"iter_{ITERATIONS}.pth"))
    assert set(final) == {"state_dict", "meta"} and set(final["state_dict"]) == names
    assert set(last["state_dict"]) == set(last["train_state_dict"]) == names
    assert {name.rsplit(".", 1)[-1] for name in last["task_state_dict"]} == {"weight", "bias"}
    assert len(last["task_state_dict"]) == 6  # three projectors
    count = sum(len(group["params"]) for group in last["optimizer"]["param_groups"])
    assert count == len(list(SEGMENTORS.build(SEGMENTORS.example("DeAOT", losses=[])).parameters())) + 6


def test_average_and_accumulation_act_on_the_student(whole):
    folder, leads = whole
    first, last = (load_checkpoint_file(folder / f"iter_{n}.pth") for n in (2, ITERATIONS))
    name = "matching_head.blocks.0.query_value.weight"
    assert last["ema"] == dict(steps=2)  # an update for every two iterations
    assert not torch.equal(last["state_dict"][name], last["train_state_dict"][name])
    assert not torch.equal(first["train_state_dict"][name], last["train_state_dict"][name])
    assert any(not torch.equal(x, last["task_state_dict"][key]) for key, x in first["task_state_dict"].items())
    assert leads == [True, True, False, False]


def test_a_run_that_stopped_goes_on_exactly(tmp_path, teacher, whole):
    with pytest.raises(StopError):
        train(tmp_path, teacher, custom_hooks=[dict(type="WatchTeacher", stop=3)])
    train(tmp_path, teacher, resume=True)
    folder, _ = whole
    assert differing(tmp_path / "final.pth", folder / "final.pth") == []
    one, two = (load_checkpoint_file(place / f"iter_{ITERATIONS}.pth") for place in (tmp_path, folder))
    for key in ("train_state_dict", "task_state_dict"):
        assert all(torch.equal(x, two[key][name]) for name, x in one[key].items())


def test_what_is_trained_beside_the_student_has_to_be_resumed(tmp_path, teacher, whole):
    folder, _ = whole
    checkpoint = load_checkpoint_file(folder / "iter_2.pth")
    del checkpoint["task_state_dict"]
    save_checkpoint_file(checkpoint, tmp_path / "iter_2.pth")
    with pytest.raises(CheckpointError, match="made with another model, optimizer or schedule"):
        train(tmp_path, teacher, resume=True)


def test_mixed_precision(tmp_path, teacher):
    train(tmp_path, teacher, **{"optim_wrapper.amp": "bf16", "train_cfg.max_iters": 2})
    weights = load_checkpoint_file(tmp_path / "final.pth")["state_dict"]
    assert all(x.dtype == torch.float32 and torch.isfinite(x).all() for x in weights.values() if x.is_floating_point())


@pytest.fixture
def no_masks(monkeypatch):
    """All masks are read by one module: opening one ends the test."""
    def refuse(path, *args, **options):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(mask_files, "read_bytes", refuse)
    with pytest.raises(AssertionError, match="was opened"):
        read_mask("x.png")


def test_regions_open_no_annotation(tmp_path, teacher, no_masks):
    """In a folder that has none, and in one that has them."""
    for number in range(2):
        folder = tmp_path / "videos" / f"v{number}"
        folder.mkdir(parents=True)
        for index in range(4):
            image = np.random.default_rng(10 * number + index).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{index:05d}.jpg"), cv2.GaussianBlur(image, (0, 0), 4))
    davis_tree(tmp_path / "davis")
    for place in ("videos", "davis/JPEGImages/480p"):
        clips = dict(type="UnlabelledClips", data_root=str(tmp_path / place), size=33, transforms="aot")
        train(tmp_path / "run" / place.split("/", maxsplit=1)[0], teacher,
              **{"task.prompt": "regions", "train_dataloader.dataset": dict(_delete_=True, **clips),
                 "train_cfg.max_iters": 2})
    assert (tmp_path / "run" / "davis" / "final.pth").is_file()


def test_data_that_depends_on_labels_is_refused(tmp_path, teacher):
    videos = dict(type="DavisDataset", data_root=str(davis_tree(tmp_path / "davis")), split="train")
    clips = dict(type="VideoClips", size=33, transforms="aot", videos=videos)
    late = dict(clips, complete_first=True)
    for name, dataset in (("VideoClips", late), ("VideoClips", dict(clips, late_objects=True)),
                          ("MergedClips", dict(type="MergedClips", dataset=clips)),
                          ("MixedClips", dict(type="MixedClips", datasets=[late]))):
        with pytest.raises(ConfigError, match=f"clips of {name} depend on labels of later frames"):
            train(tmp_path / "run", teacher, **{"train_dataloader.dataset": dict(_delete_=True, **dataset)})
    with pytest.raises(ConfigError, match="opens no annotation, but VideoClips reads masks"):
        train(tmp_path / "run", teacher, **{"train_dataloader.dataset": dict(_delete_=True, **clips),
                                            "task.prompt": "regions"})


def test_wrong_names_are_refused_before_the_data_is_made(tmp_path, teacher):
    pairs = [dict(teacher="propagation.9.id.output", student="logits", loss=dict(type="CKALoss"))]
    with pytest.raises(ConfigError, match="the teacher has no feature 'propagation.9.id.output'"):
        train(tmp_path, teacher, **{"task.pairs": pairs,
                                    "train_dataloader.dataset": dict(_delete_=True, type="TinyClips", fail_at=0)})
    assert not list(tmp_path.glob("*.pth"))
