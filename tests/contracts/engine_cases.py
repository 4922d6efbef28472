"""Other values of the options of metrics, hooks, schedulers, readers and writers, and what shows the difference."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS

from tests.datasets.trees import frame
from vosplug.converters.cfbi import STEM
from vosplug.datasets import ClipBatchSampler
from vosplug.inference.readers import Frame
from vosplug.registry import CONVERTERS, DATASETS, HOOKS, METRICS, READERS, WRITERS
from vosplug.structures import TrackMask

from .data_trees import runs
from .other_options import Made, cases_of

of_metrics, of_tracks, of_hooks, of_schedulers = (cases_of(x) for x in (METRICS, METRICS, HOOKS, PARAM_SCHEDULERS))
of_wrappers, of_readers = cases_of(OPTIM_WRAPPERS), cases_of(READERS)
of_files, of_track_files, of_converters = cases_of(WRITERS), cases_of(WRITERS), cases_of(CONVERTERS)


def shifted(metric: Any, name: str) -> dict | None:
    """Scores of masks that show the first object alone, three rows too low."""
    for video in DATASETS.build(dict(type=name, data_root="youtube" if "You" in name else "davis")).videos():
        metric.start(video)
        for index in range(len(video)):
            reference = video.read_labels(index)
            found = np.where(reference == 1, reference, 0)
            metric.update(index, np.roll(found, 3, axis=0), reference)
        metric.finish()
    return metric.compute()


@of_metrics("DavisMetric", {}, protocol="2016")
def davis(metric: Any) -> dict | None:
    return shifted(metric, "DavisDataset")


@of_metrics("YouTubeVOSMetric", dict(seen=["dog"]), seen=["goblin"])
def youtube(metric: Any) -> dict | None:
    return shifted(metric, "YouTubeVOSDataset")


@of_tracks("YouTubeVISMetric", {}, class_agnostic=True)
def tracks(metric: Any) -> dict | None:
    """Scores of right masks, all of one class."""
    for video in DATASETS.build(dict(type="YouTubeVISDataset", data_root="vis")).videos():
        metric.start(video)
        metric.add_tracks([dict(category_id=2, score=0.5, segmentations=t.segmentations) for t in video.tracks])
        metric.finish()
    return metric.compute()


def runner_of(**more: Any) -> Any:
    """What hooks ask of a runner."""
    usual = dict(max_iters=20, iter=0, best=None, resume_from=None, model=torch.nn.Linear(2, 1))
    runner = MagicMock(**{**usual, **more})
    runner.device, runner.message_hub.log_scalars = torch.device("cpu"), {}
    runner.optim_wrapper.should_update.return_value = True
    runner.optim_wrapper.get_lr.return_value = {"lr": [0.1]}
    runner.train_loop.data_time = 0.0
    return runner


@of_hooks("CheckpointHook", {}, interval=3, keep=1, monitor="G")
def checkpoints(hook: Any) -> list:
    """What lies in the folder after each iteration, and what was best."""
    folder, found = Path(tempfile.mkdtemp(dir=".")), []
    runner = runner_of(work_dir=str(folder))
    runner.weights_checkpoint.return_value = {"state_dict": {}}
    runner.save_checkpoint.side_effect = lambda out, name: (Path(out) / name).touch()
    hook.before_train(runner)
    for runner.iter in range(1, 21):
        hook.after_step(runner)
        found.append(sorted(path.name for path in folder.iterdir()))
    hook.after_val_epoch(runner, {"J&F-Mean": 0.5, "G": 0.4})
    return [*found, runner.best]


@of_hooks("ConsoleHook", {}, interval=3)
def console(hook: Any) -> list:
    """Iterations of which it tells."""
    runner = runner_of()
    hook.before_train(runner)
    for iteration in range(20):
        hook.after_train_iter(runner, iteration, outputs={"loss": 1.0})
    return [call.kwargs["step"] for call in runner.visualizer.add_scalars.call_args_list]


@of_hooks("ClipCurriculumHook", {}, phases=[dict(begin=2, length=5)])
def curriculum(hook: Any) -> list:
    """Clips of the first iterations."""
    runner = runner_of(cfg={})
    runner.train_loop.dataloader.batch_sampler = sampler = ClipBatchSampler(range(9))
    hook.before_train(runner)
    return [sampler.requests_at(iteration) for iteration in range(4)]


@of_hooks("EMAHook", dict(momentum=0.4, gamma=1), momentum=0.9, gamma=5, begin_iter=3)
def averages(hook: Any) -> list:
    """Averages of weights that grow."""
    runner = runner_of()
    torch.nn.init.zeros_(runner.model.weight)
    hook.before_run(runner)
    hook.before_train(runner)
    found = []
    for runner.iter in range(6):
        with torch.no_grad():
            runner.model.weight += 1
        hook.after_train_iter(runner, runner.iter)
        found.append(hook.ema_model.module.weight.detach().clone())
    return found


def sgd(rate: float) -> Made:
    """An optimiser of one weight; a run that goes on knows the rate that it began with."""
    return Made(lambda: torch.optim.SGD([dict(params=[torch.nn.Parameter(torch.ones(2))], initial_lr=rate)], lr=rate))


@of_schedulers("WarmupPolyLR", dict(optimizer=sgd(1.0), end=10, warmup=2), optimizer=sgd(2.0), least=0.1, power=2.0,
               warmup=0.5, floor=0.3, begin=3, end=8, last_step=4, by_epoch=True)
def rates(scheduler: Any) -> list:
    """The rate at each iteration, and what counts them."""
    found = []
    for _ in range(11):
        found.append(scheduler.get_last_value())
        scheduler.optimizer.step()
        scheduler.step()
    return [found, scheduler.by_epoch]


@of_wrappers("VOSOptimWrapper", dict(optimizer=sgd(1.0)), optimizer=sgd(2.0), accumulative_counts=2,
             clip_grad=dict(max_norm=0.1), amp="bf16")
def updates(wrapper: Any) -> list:
    """Weights after each iteration, and the type of what is computed."""
    weight, found = wrapper.optimizer.param_groups[0]["params"][0], []
    model = torch.nn.Linear(2, 2)
    wrapper.initialize_count_status(model, 0, 4)
    for _ in range(4):
        with wrapper.optim_context(model):
            found.append(str(model(weight).dtype))
        wrapper.update_params(weight.square().sum())
        found.append(weight.detach().clone())
    return found


@of_readers("FolderReader", dict(path="davis/JPEGImages/480p/alpha"), path="youtube/2019/valid/JPEGImages/v1", fps=10.0)
@of_readers("IterableReader", dict(frames=[frame(0)[0]]), frames=[frame(1)[0]], fps=10.0)
@of_readers("VideoReader", dict(path="film.avi"), path="short.avi")
def frames(reader: Any) -> list:
    return [reader.fps, [(f.index, f.name, f.image) for f in reader]]


def contents() -> list:
    """Of the files below ``out``, which are taken away."""
    found = []
    for path in sorted(p for p in Path("out").rglob("*") if p.is_file()):
        found.append((path.as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()))
        path.unlink()
    return found


@of_files("MaskFolderWriter", dict(out="out/a"), out="out/b")
@of_files("OverlayFolderWriter", dict(out="out/a"), out="out/b", alpha=0.9)
@of_files("RleJsonWriter", dict(out="out/a.json"), out="out/b.json")
@of_files("OverlayVideoWriter", dict(out="out/a.mp4"), out="out/b.mp4", fps=5.0, alpha=0.9, decorate=np.zeros_like)
def files(writer: Any) -> list:
    """What it makes of three frames."""
    image, labels = frame(2, (1, 2))
    with writer:
        for index in range(3):
            writer.write(Frame(index, f"{index:05d}", image), labels)
    return contents()


@of_track_files("TrackMaskFolderWriter", dict(out="out/a"), out="out/b")
@of_track_files("TrackJsonWriter", dict(out="out/a.json"), out="out/b.json")
@of_track_files("TrackVideoWriter", dict(out="out/a.mp4"), out="out/b.mp4", fps=5.0, alpha=0.9, captions=False)
def track_files(writer: Any) -> list:
    """What it makes of three frames with one track."""
    image, labels = frame(2, (1, 2))
    shown = [TrackMask(id=1, label=0, score=0.8, mask=runs(labels == 1), category="dog")]
    with writer:
        for index in range(3):
            writer.write(Frame(index, f"{index:05d}", image), shown)
        writer.finish([])
    return contents()


@of_converters("cfbi", {}, input_order="bgr")
def converted(converter: Any) -> dict:
    """The stem."""
    return converter.prepare({STEM: torch.arange(3.0).view(1, 3, 1, 1)})
