"""Training in this process: it learns, it resumes exactly, it stops where it should."""

import json
import multiprocessing
import os
import re
import resource

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from train_helpers import differing, tiny_config, train, weights

from vosplug.engine import VOSRunner, split_stages
from vosplug.registry import HOOKS, MODELS, RUNNERS
from vosplug.utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from vosplug.utils.errors import CheckpointError, ConfigError, DataError, OutputError, TrainingError

# Everything that a resumed run has to get right at once.
FULL = dict(
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2), accumulative_counts=2, clip_grad=dict(max_norm=1.0)),
    curriculum=[dict(begin=0.5, length=4, batch_size=1, max_skip=1)],
    default_hooks=dict(ema=dict(momentum=0.1, begin_iter=3), checkpoint=dict(interval=5, keep=None)),
    stages=[dict(name="static", max_iters=9), dict(name="main", max_iters=11, clip=dict(length=2))],
)


class StopError(Exception):
    """Ends a run as a crash would."""


@HOOKS.register_module()
class StopAt(Hook):
    """Raise :class:`StopError` after an iteration of a stage."""

    priority = "LOWEST"

    def __init__(self, stage: int, iteration: int):
        self.stage, self.iteration = stage, iteration

    def after_step(self, runner) -> None:
        if (runner.stage_index, runner.iter) == (self.stage, self.iteration):
            raise StopError


def logged(folder) -> list[dict]:
    """Numbers that a run logged, in order of their step."""
    files = sorted(folder.rglob("scalars.json"))
    return [json.loads(row) for file in files for row in file.read_text().splitlines()]


def test_the_loss_decreases_and_files_are_there(tmp_path, capsys):
    train(tmp_path, train_cfg=dict(max_iters=40), default_hooks=dict(checkpoint=dict(interval=10, keep=2)))
    rows = logged(tmp_path)
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"] and rows[-1]["iou"] > 0.8
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert names == {"iter_30.pth", "iter_40.pth", "last_checkpoint", "final.pth", "config.py"}
    assert (tmp_path / "last_checkpoint").read_text() == "iter_40.pth\n"
    assert set(load_checkpoint_file(tmp_path / "final.pth")) == {"state_dict", "meta"}
    assert not differing(tmp_path / "final.pth", tmp_path / "iter_40.pth")
    assert Config.fromfile(tmp_path / "config.py").model.type == "TinySegmentor"
    shown = capsys.readouterr().out
    assert re.search(r"train 40/40  100%  ETA 0:00:00  lr \S+  loss \S+  iou \S+  grad_norm \S+  \S+ s/it "
                     r"\(data \S+\)  \S+ GiB", shown)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run of FULL."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, **FULL)
    return folder


@pytest.mark.parametrize("stage, iteration", [(0, 3), (0, 7), (0, 9), (1, 6), (1, 10)])
def test_a_run_that_stopped_goes_on_exactly(tmp_path, whole, stage, iteration):
    with pytest.raises(StopError):
        train(tmp_path, **FULL, custom_hooks=[dict(type="StopAt", stage=stage, iteration=iteration)])
    train(tmp_path, resume=True, **FULL)
    assert differing(tmp_path / "final.pth", whole / "final.pth") == []
    for name in ("0_static/iter_9.pth", "1_main/iter_11.pth"):
        one, two = load_checkpoint_file(tmp_path / name), load_checkpoint_file(whole / name)
        assert one["ema"] == two["ema"] and one["param_schedulers"] == two["param_schedulers"]
        assert all(torch.equal(v, two["train_state_dict"][k]) for k, v in one["train_state_dict"].items())
        for key, state in one["optimizer"]["state"].items():
            assert all(torch.equal(v, two["optimizer"]["state"][key][n]) for n, v in state.items())


def test_the_run_is_sensitive_to_what_is_restored(tmp_path, whole):
    """The exactness above would fail if the iteration, and with it data and dropout, were not restored."""
    train(tmp_path, **FULL, seed=1)
    assert differing(tmp_path / "final.pth", whole / "final.pth")


def test_checkpoints_wait_for_the_update(whole):
    """With two iterations per update and an interval of 5, saving is put off to the next update."""
    assert sorted(p.name for p in (whole / "0_static").glob("iter_*.pth")) == ["iter_6.pth", "iter_9.pth"]
    assert sorted(p.name for p in (whole / "1_main").glob("iter_*.pth")) == ["iter_10.pth", "iter_11.pth", "iter_6.pth"]


def test_with_ema_the_average_is_published(whole):
    checkpoint = load_checkpoint_file(whole / "1_main" / "iter_11.pth")
    assert checkpoint["ema"] == dict(steps=5)  # updates at 4, 6, 8, 10, 11: earlier ones copy
    average, weight = checkpoint["state_dict"]["net.0.weight"], checkpoint["train_state_dict"]["net.0.weight"]
    assert not torch.equal(average, weight)
    assert torch.equal(weights(whole / "final.pth")["net.0.weight"], average)


def test_workers_do_not_change_the_result(tmp_path):
    loader = dict(dataset=dict(type="TinyClips"), batch_size=2)
    for workers in (0, 2):
        train(tmp_path / str(workers), train_dataloader=dict(**loader, num_workers=workers))
    assert differing(tmp_path / "0" / "final.pth", tmp_path / "2" / "final.pth") == []


def test_the_curriculum_reaches_the_data(tmp_path):
    log = tmp_path / "clips.txt"
    train(tmp_path / "run", train_dataloader=dict(dataset=dict(type="TinyClips", log=str(log)), batch_size=2,
                                                  num_workers=0),
          train_cfg=dict(max_iters=4), curriculum=[dict(begin=0.5, length=5, batch_size=1)])
    assert [int(row.split()[1]) for row in log.read_text().splitlines()] == [3] * 4 + [5] * 2


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    model = dict(type="TinySegmentor", preprocessor=dict(type="VOSPreprocessor"),
                 losses=[dict(type="TinyCE", nan_at=7)])
    with pytest.raises(TrainingError, match=r"iteration 7: loss_ce is nan \(clips of: clip\d+, clip\d+\)"):
        train(tmp_path, model=model, default_hooks=dict(checkpoint=dict(interval=3)))
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == ["iter_3.pth", "iter_6.pth"]
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "iter_6.pth").values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    @HOOKS.register_module(name="Poison", force=True)
    class Poison(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if batch_idx == 3:
                next(runner.model.parameters()).data.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"iteration 4: the weight net.0.weight is not finite"):
        train(tmp_path, custom_hooks=[dict(type="Poison")], default_hooks=dict(checkpoint=dict(interval=2)))
    assert [p.name for p in tmp_path.glob("*.pth")] == ["iter_2.pth"]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_clip_is_one_clean_error(tmp_path, workers):
    loader = dict(dataset=dict(type="TinyClips", fail_at=4), batch_size=2, num_workers=workers)
    with pytest.raises(DataError) as caught:
        train(tmp_path, train_dataloader=loader)
    assert str(caught.value) == "clip 4: picture is damaged"
    assert not multiprocessing.active_children()  # Python would wait for them at its exit


def test_a_used_folder_is_not_overwritten(tmp_path):
    train(tmp_path, train_cfg=dict(max_iters=2))
    before = weights(tmp_path / "final.pth")
    with pytest.raises(ConfigError, match=r"already holds a training run .*--resume.*--overwrite"):
        train(tmp_path, train_cfg=dict(max_iters=2), seed=5)
    assert all(torch.equal(v, before[k]) for k, v in weights(tmp_path / "final.pth").items())
    train(tmp_path, train_cfg=dict(max_iters=1), seed=5, overwrite=True)
    assert [p.name for p in tmp_path.glob("iter_*.pth")] == ["iter_1.pth"]
    assert load_checkpoint_file(tmp_path / "final.pth")["meta"]["seed"] == 5


def test_resume_of_another_run_is_refused(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, custom_hooks=[dict(type="StopAt", stage=0, iteration=4)])
    config = (tmp_path / "config.py").read_text()
    with pytest.raises(CheckpointError, match=r"seed 0, this run has seed 3: resume with --seed 0"):
        train(tmp_path, resume=True, seed=3)
    assert (tmp_path / "config.py").read_text() == config
    wider = dict(type="TinySegmentor", width=9, preprocessor=dict(type="VOSPreprocessor"), losses=[dict(type="TinyCE")])
    with pytest.raises(CheckpointError, match=r"another model.*net\.0\.weight"):
        train(tmp_path, resume=True, model=wider)
    (tmp_path / "0_static").mkdir()
    os.rename(tmp_path / "iter_4.pth", tmp_path / "0_static" / "iter_4.pth")
    with pytest.raises(CheckpointError, match="not of the stage 'static'"):
        train(tmp_path, resume=True, stages=[dict(name="static", max_iters=6)])


def test_resume_passes_over_a_damaged_checkpoint(tmp_path):
    hooks = dict(checkpoint=dict(interval=3, keep=None))
    train(tmp_path / "a", default_hooks=hooks)
    with pytest.raises(StopError):
        train(tmp_path / "b", default_hooks=hooks, custom_hooks=[dict(type="StopAt", stage=0, iteration=10)])
    newest = tmp_path / "b" / "iter_9.pth"
    newest.write_bytes(newest.read_bytes()[:500])
    train(tmp_path / "b", resume=True, default_hooks=hooks)
    assert differing(tmp_path / "a" / "final.pth", tmp_path / "b" / "final.pth") == []
    for path in (tmp_path / "b").glob("iter_*.pth"):
        path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"iter_12\.pth is damaged"):
        train(tmp_path / "b", resume=True, default_hooks=hooks)


def test_weights_alone_cannot_be_resumed_but_begin_a_run(tmp_path):
    train(tmp_path / "a", train_cfg=dict(max_iters=2))
    runner = VOSRunner(split_stages(tiny_config(tmp_path / "b"))[0], device=torch.device("cpu"),
                       resume_from=tmp_path / "a" / "final.pth")
    with pytest.raises(CheckpointError, match="holds weights only"):
        runner.train()
    frozen = dict(optimizer=dict(type="SGD", lr=0.0))
    train(tmp_path / "c", load_from=str(tmp_path / "a" / "final.pth"), optim_wrapper=frozen, param_scheduler=[])
    ours, theirs = weights(tmp_path / "c" / "final.pth"), weights(tmp_path / "a" / "final.pth")
    assert torch.equal(ours["net.0.weight"], theirs["net.0.weight"])
    with pytest.raises(CheckpointError, match="not found: /nowhere.pth"):
        train(tmp_path / "d", load_from="/nowhere.pth")
    save_checkpoint_file({f"other.{i}": torch.zeros(1) for i in range(9)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth.*convert_checkpoint"):
        train(tmp_path / "e", load_from=str(tmp_path / "other.pth"))


def test_stages_hand_weights_on_and_may_begin_anew(tmp_path):
    frozen = dict(optimizer=dict(type="SGD", lr=0.0))
    stages = [dict(name="one", max_iters=2), dict(name="two", max_iters=1, optim_wrapper=dict(_delete_=True, **frozen)),
              dict(name="three", max_iters=1, init=None, optim_wrapper=dict(_delete_=True, **frozen))]
    results = train(tmp_path, stages=stages, param_scheduler=[])
    assert [(r.name, r.iterations) for r in results] == [("one", 2), ("two", 1), ("three", 1)]
    one, two, three = (weights(next((tmp_path / name).glob("iter_*.pth")))["net.0.weight"]
                       for name in ("0_one", "1_two", "2_three"))
    assert torch.equal(one, two) and not torch.equal(two, three)


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the work dir"):
        train(tmp_path / "file" / "run")


@HOOKS.register_module()
class FillDisk(Hook):
    """From an iteration on no file can grow beyond a size, which fails as a full disk does."""

    def __init__(self, iteration: int, size: int):
        self.iteration, self.size = iteration, size

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if batch_idx == self.iteration:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("size, what", [(3000, r"iter_6\.pth"), (1, "")])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, size, what):
    """The larger limit stops the checkpoint, the smaller one the log."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OutputError, match=f"cannot write .*{what}"):
            train(tmp_path, custom_hooks=[dict(type="FillDisk", iteration=4, size=size)],
                  default_hooks=dict(checkpoint=dict(interval=3), logger=dict(interval=5)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.glob("*.pth")] == ["iter_3.pth"]
    train(tmp_path, resume=True)
    assert load_checkpoint_file(tmp_path / "final.pth")["meta"]["iter"] == 12


@pytest.mark.parametrize("changes, text", [
    (dict(train_cfg=dict(max_iters=0)), "at least 1, got 0"),
    (dict(train_cfg=dict(max_iters=2, val_intervall=1)), "did you mean 'val_interval'"),
    (dict(train_dataloader=dict(dataset=dict(type="TinyClips"), batchsize=2)), "did you mean 'batch_size'"),
    (dict(train_dataloader=dict(dataset=dict(type="TinyClip"))), "did you mean 'TinyClips'"),
    (dict(clip=dict(len=3)), "clip has no option 'len'"),
    (dict(curriculum=[dict(begin=0.5, lenght=5)]), "did you mean 'length'"),
    (dict(curriculum=dict(begin=0.5)), "list of phases"),
    (dict(model=dict(type="TinySegmentr")), "did you mean 'TinySegmentor'"),
    (dict(default_hooks=dict(chekpoint=dict(interval=1))), "did you mean 'checkpoint'"),
    (dict(default_hooks=dict(checkpoint=dict(every=1))), "CheckpointHook has no option 'every'"),
    (dict(custom_hooks=[dict(type="ClipCuriculumHook")]), "did you mean 'ClipCurriculumHook'"),
    (dict(stages=[dict(name="a", max_iter=2)]), "did you mean 'max_iters'"),
    (dict(stages=[dict(name="a/b", max_iters=2)]), "becomes a folder"),
    (dict(stages=[dict(init="previous", max_iters=2)]), "no previous one"),
    (dict(val_evaluator=dict(type="DavisMetric")), "val_evaluator has no effect without val_dataset"),
    (dict(val_cfg=dict(type="VOSValLoop")), "val_cfg has no effect without val_dataset"),
    (dict(train_cfg=dict(max_iters=2, val_interval=1)), "train_cfg.val_interval has no effect without val_dataset"),
    (dict(model=dict(type="TinySegmentor", sparse=dict(conv=dict(type="TripleSparseConv"), lean=True))),
     "TinySegmentor.sparse has no option 'lean'"),
    (dict(seed=-1), "seed must be"),
    (dict(optim_wrapper=None), "needs 'optim_wrapper'"),
])
def test_faults_of_configs(tmp_path, changes, text):
    with pytest.raises(ConfigError, match=f"(?i){text}") as caught:
        train(tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.pth"))


def test_mmengine_builds_the_runner_from_a_config(tmp_path):
    runner = RUNNERS.build(tiny_config(tmp_path, runner_type="VOSRunner", train_cfg=dict(max_iters=2)))
    assert isinstance(runner, VOSRunner)
    runner.train()
    assert (tmp_path / "iter_2.pth").exists()
    with pytest.raises(ConfigError, match="run_training"):
        VOSRunner.from_cfg(tiny_config(tmp_path, stages=[dict(max_iters=1), dict(max_iters=1)]))


def test_default_hooks_can_be_left_out(tmp_path, capsys):
    train(tmp_path, train_cfg=dict(max_iters=2), default_hooks=dict(logger=None))
    assert "train" not in capsys.readouterr().out and (tmp_path / "final.pth").exists()


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    train(tmp_path, train_cfg=dict(max_iters=10), vis_backends=[dict(type="TensorboardVisBackend")])
    assert any(path.stat().st_size > 100 for path in tmp_path.rglob("events.out.tfevents*"))


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("vosplug.engine.runner._installed", lambda package: False)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        train(tmp_path, vis_backends=[dict(type="TensorboardVisBackend")])


def test_no_part_of_the_model_loads_a_file_by_itself(tmp_path):
    """A model that was built outside of the registry is looked at before it initialises itself."""
    cfg = tiny_config(tmp_path / "run")
    model = MODELS.build(cfg.model)
    model.net.append(BaseModule(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "any.pth"))))
    runner = VOSRunner(split_stages(cfg)[0], device=torch.device("cpu"))
    runner.model = model
    with pytest.raises(ConfigError, match=r"BaseModule \(net\.5 of TinySegmentor\): init_cfg of type 'Pretrained'"):
        runner.train()
