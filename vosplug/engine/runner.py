"""mmengine's Runner with safe checkpoints, exact resume and clips as data."""

import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.device import is_cuda_available
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.runner import BaseLoop, Runner
from torch import nn

from .. import __version__
from ..models.backbones.pretrained import weights_follow
from ..models.segmentors.task_model import task_parts
from ..registry import HOOKS, LOOPS, MODELS, RUNNERS, SCOPE, TASKS
from ..utils.checkpoint import (
    classes_of,
    load_checkpoint_file,
    load_weights,
    model_state,
    save_checkpoint_file,
    unwrapped,
    with_new_parts,
)
from ..utils.errors import CheckpointError, ConfigError, TrainingError
from ..utils.notices import warn
from ..utils.safe_loading import refuse_files_in_model, safe_loading
from .data import build_train_loader
from .hooks.defaults import choose_hooks
from .optim import build_optim_wrapper, build_schedulers, in_mmengine
from .random_backbones import warn_of_random_backbones
from .stages import Stage, split_stages


@RUNNERS.register_module()
class VOSRunner(Runner):
    """Trains one stage. Of mmengine's Runner it keeps the hooks and the order in which things are built.

    A checkpoint is a dict of tensors and plain values: ``state_dict`` (the weights to use: averaged ones with EMA),
    ``train_state_dict`` (with EMA: the weights that training goes on with), ``optimizer`` (with the loss scale),
    ``param_schedulers``, ``task_state_dict`` (where a task trains weights beside the model), ``ema`` and ``meta``
    (iteration, stage, seed, processes, config, best score, class names). No state of random numbers is needed: every
    iteration seeds itself, and a clip is a function of its request.

    Args:
        stage: the stage.
        device: device of this process.
        resume_from: checkpoint to go on from.
        init_from: checkpoint whose weights the stage begins with.
    """

    def __init__(self, stage: Stage, *, device: torch.device, resume_from: Path | None = None,
                 init_from: str | Path | None = None):
        cfg = stage.cfg
        self.stage = stage
        self.device = device
        self.resume_from = resume_from
        self.init_from = init_from
        self.best: dict | None = None
        self._text: str | None = None
        val = cfg.get("val_dataset")
        if cfg.get("val_evaluator") and "val_dataset" not in cfg:
            raise ConfigError("val_evaluator has no effect without val_dataset")
        if "val_dataset" not in cfg and (cfg.get("val_cfg") or cfg.train_cfg.get("val_interval")):
            name = "val_cfg" if cfg.get("val_cfg") else "train_cfg.val_interval"
            raise ConfigError(f"{name} has no effect without val_dataset; val_dataset=None says that nothing is "
                              "validated")
        validation = {}
        if val:
            validation = dict(val_dataloader=val, val_cfg=cfg.get("val_cfg") or {},
                              val_evaluator=cfg.get("val_evaluator") or {})
        super().__init__(
            model=cfg.model, work_dir=str(stage.folder), cfg=cfg, default_scope=SCOPE,
            train_dataloader=cfg.train_dataloader, train_cfg=cfg.train_cfg, optim_wrapper=cfg.optim_wrapper,
            param_scheduler=cfg.get("param_scheduler"), **validation,
            default_hooks=cfg.get("default_hooks"), custom_hooks=cfg.get("custom_hooks"),
            launcher="pytorch" if is_distributed() else "none", visualizer=_visualizer(cfg),
            randomness=dict(seed=stage.seed, deterministic=bool(cfg.get("deterministic", False))),
            experiment_name=f"{stage.folder.resolve()}")

    @classmethod
    def from_cfg(cls, cfg: Any) -> "VOSRunner":
        """Runner of a config without stages, on the default device."""
        from .processes import pick_device

        stages = split_stages(cfg)
        if len(stages) > 1:
            raise ConfigError("a config with stages is trained by vosplug.engine.run_training")
        return cls(stages[0], device=pick_device(), init_from=stages[0].init)

    # Building ----------------------------------------------------------------------------------------------------

    @property
    def stage_index(self) -> int:
        """Number of the stage."""
        return self.stage.index

    def setup_env(self, env_cfg: dict) -> None:
        """Threads of OpenCV, autotuning, rank and a time stamp that differs between two runners of one process."""
        cv2.setNumThreads(0)
        torch.backends.cudnn.benchmark = bool(self.cfg.get("cudnn_benchmark", False))
        super().setup_env({})
        self._timestamp = f"{self._timestamp}_{self.stage.index}_{next_number():02d}"

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs) -> MMLogger:
        """The whole log goes to a file; the console gets warnings (and the lines of :class:`ConsoleHook`)."""
        logger = super().build_logger(log_level=log_level, log_file=log_file, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = lambda record: None  # a full disk is reported once, by what cannot be saved
            else:
                handler.setLevel(logging.WARNING)
        return logger

    def build_visualizer(self, visualizer: dict | None = None) -> Any:
        """Build what writes numbers to files and to TensorBoard."""
        with in_mmengine():
            return super().build_visualizer(visualizer)

    def _log_env(self, env_cfg: dict) -> None:
        names = dict(vosplug=__version__, torch=torch.__version__, device=self.device, threads=torch.get_num_threads(),
                     processes=self.world_size, seed=self.seed, stage=f"{self.stage.index} {self.stage.name}")
        if is_cuda_available():
            names["gpu"] = torch.cuda.get_device_name()
        self.logger.info("  ".join(f"{name}: {value}" for name, value in names.items()))
        self.logger.info(f"Config:\n{self.config_text}")

    @property
    def config_text(self) -> str:
        """The config as Python source."""
        if self._text is None:
            self._text = self.cfg.pretty_text
        return self._text

    def dump_config(self) -> None:
        """The config of the whole run is written by :func:`vosplug.engine.run_training`, that of a stage is logged."""

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, with errors in one line, and the task by which it is trained if the config names one."""
        if not isinstance(model, nn.Module):
            begins = self.resume_from is None and self.init_from is None
            with nullcontext() if begins else weights_follow():
                model = MODELS.build(model)
            if begins:
                warn_of_random_backbones(model)
        if self.cfg.get("task"):
            model.use_task(TASKS.build(self.cfg.task))
        return model

    def _init_model_weights(self) -> None:
        """Let the model initialise itself, without reading a file that could run code."""
        refuse_files_in_model(unwrapped(self.model))
        with safe_loading():
            super()._init_model_weights()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to the device; with several processes, average its gradients over them."""
        if self.cfg.get("channels_last", False):
            model = model.to(memory_format=torch.channels_last)
        model = model.to(self.device)
        if hasattr(getattr(model, "task", None), "prepare"):
            model.task.prepare(model)
        if not self.distributed:
            return revert_sync_batchnorm(model)
        if self.cfg.get("sync_bn"):
            if self.device.type != "cuda":
                raise ConfigError("sync_bn needs GPUs; use GroupNorm, or frozen batch norms, on the CPU")
            model = convert_sync_batchnorm(model, self.cfg.sync_bn)
        return MMDistributedDataParallel(
            module=model, device_ids=[self.device.index] if self.device.type == "cuda" else None,
            broadcast_buffers=False, find_unused_parameters=bool(self.cfg.get("find_unused_parameters", False)))

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop and its loader of clips."""
        if isinstance(loop, BaseLoop):
            return loop
        loader = build_train_loader(self._train_dataloader, seed=self.stage.data_seed, clip=self.cfg.get("clip"),
                                    pin_memory=self.device.type == "cuda")
        if hasattr(self._task, "check_data"):
            self._task.check_data(loader.dataset.dataset)
        return LOOPS.build({"type": "ClipTrainLoop", **loop, "runner": self, "dataloader": loader})

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop that segments whole videos."""
        if isinstance(loop, BaseLoop):
            return loop
        model, names = unwrapped(self.model), self._class_names()
        if names is not None and hasattr(model, "class_names"):
            model.class_names = names  # validation compares them with those of its data set
        return LOOPS.build({"type": "VideoValLoop", **loop, "runner": self, "dataset": self._val_dataloader,
                            "evaluator": self._val_evaluator})

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimiser; see :func:`vosplug.engine.optim.build_optim_wrapper`."""
        if not isinstance(optim_wrapper, Mapping):
            return optim_wrapper
        wrapper = build_optim_wrapper(self.model, optim_wrapper)
        beside = list(self._parts.parameters())
        if beside:
            wrapper.optimizer.add_param_group(dict(params=beside))
        return wrapper

    @property
    def _task(self) -> Any:
        """The task by which the model is trained."""
        return getattr(unwrapped(self.model), "task", None)

    @property
    def _parts(self) -> nn.ModuleList:
        """What the task trains beside the model."""
        return task_parts(self._task)

    def build_param_scheduler(self, scheduler: Any) -> list:
        """Build the schedules; see :func:`vosplug.engine.optim.build_schedulers`."""
        return build_schedulers(scheduler, self.optim_wrapper, self.stage.max_iters)

    def register_default_hooks(self, hooks: Mapping[str, Any] | None = None) -> None:
        """Register the hooks of :mod:`vosplug.engine.hooks.defaults`, changed by ``hooks``."""
        for hook in choose_hooks(hooks):
            self.register_hook(hook)

    def register_hook(self, hook: Hook | dict, priority: Any = None) -> None:
        """Register a hook, with errors in one line."""
        if isinstance(hook, Mapping):
            options = dict(hook)
            priority = options.pop("priority", priority)
            hook = HOOKS.build(options)
        super().register_hook(hook, priority)

    def train(self) -> nn.Module:
        """Train to the end of the stage."""
        with warnings.catch_warnings():
            # With accumulated gradients the schedule rightly moves on before the first update.
            warnings.filterwarnings("ignore", message="Detected call of `scheduler.step")
            return super().train()

    # Checkpoints ---------------------------------------------------------------------------------------------------

    def load_or_resume(self) -> None:
        """Go on from ``resume_from``, or begin with the weights of ``init_from``."""
        if self._has_loaded:
            return
        if self.resume_from is not None:
            self.resume(self.resume_from)
        elif self.init_from is not None:
            self.load_checkpoint(self.init_from)
        self._has_loaded = True

    def load_checkpoint(self, filename: str | Path, map_location: Any = "cpu", strict: bool = True, **_: Any) -> dict:
        """Copy the weights of a checkpoint into the model; parts that may be put into a trained model can lack them."""
        checkpoint = load_checkpoint_file(filename, map_location)
        try:
            weights, new = with_new_parts(self.model, model_state(checkpoint))
            load_weights(self.model, weights, strict)
        except CheckpointError as error:
            raise CheckpointError(f"{filename}: {error}") from error
        trained, classes = classes_of(checkpoint), self._class_names()
        if trained is not None and classes is not None and trained != classes:
            warn(f"the classes of {filename} are not those of the training set, or in another order: what its "
                 "classifier has learnt means something else here")
        self.logger.info(f"weights of {filename}" + (f"; these start anew: {', '.join(new)}" if new else ""))
        return checkpoint

    def resume(self, filename: str | Path, **_: Any) -> None:
        """Restore everything that training goes on with."""
        checkpoint = load_checkpoint_file(filename)
        meta = checkpoint.get("meta")
        if not isinstance(meta, Mapping) or "optimizer" not in checkpoint or "iter" not in meta:
            raise CheckpointError(f"{filename} holds weights only, training cannot go on from it; to begin a new run "
                                  "with these weights set load_from")
        self._check_same_run(filename, meta)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        weights = checkpoint.get("train_state_dict", checkpoint["state_dict"])
        try:
            load_weights(self.model, weights)
            if self._parts.state_dict():
                load_weights(self._parts, checkpoint.get("task_state_dict", {}))
            self.optim_wrapper.load_state_dict(checkpoint["optimizer"])
            for scheduler, state in zip(self.param_schedulers or [], checkpoint["param_schedulers"], strict=True):
                scheduler.load_state_dict(state)
        except (ValueError, KeyError, CheckpointError) as error:
            raise CheckpointError(f"{filename} was made with another model, optimizer or schedule: {error}") from error
        self.best = meta.get("best")
        self.train_loop.set_iteration(meta["iter"], bool(meta.get("validation_pending")))
        self.logger.info(f"resumed from {filename} at iteration {meta['iter']}")

    def _check_same_run(self, filename: str | Path, meta: Mapping[str, Any]) -> None:
        if meta["seed"] != self.seed:
            raise CheckpointError(f"{filename} was made with seed {meta['seed']}, this run has seed {self.seed}: "
                                  f"resume with --seed {meta['seed']}")
        for key, ours in self._conditions().items():
            if meta.get(key) != ours:
                self.logger.warning(f"{key} was {meta.get(key)!r} and is {ours!r} now: the run will not be identical "
                                    "to an uninterrupted one")

    def _conditions(self) -> dict[str, Any]:
        """What has to stay as it is for a resumed run to be identical."""
        return dict(world_size=self.world_size, max_iters=self.stage.max_iters, device=self.device.type)

    def weights_checkpoint(self) -> dict:
        """``state_dict`` and ``meta``: what inference needs."""
        checkpoint = dict(state_dict=unwrapped(self.model).state_dict(), meta=self._meta())
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        checkpoint.pop("train_state_dict", None)
        checkpoint.pop("ema", None)
        return checkpoint

    def _meta(self) -> dict:
        stage, classes = self.stage, self._class_names()
        return dict(iter=self.iter, stage=stage.index, stage_name=stage.name, seed=self.seed, best=self.best,
                    cfg=self.config_text, vosplug=__version__, time=time.strftime("%Y-%m-%d %H:%M:%S"),
                    **({} if classes is None else {"classes": list(classes)}), **self._conditions())

    def _class_names(self) -> tuple[str, ...] | None:
        """Names of the classes that are trained, where the clips have such."""
        clips = getattr(getattr(self.train_dataloader, "dataset", None), "dataset", None)
        classes = getattr(clips, "classes", None)
        return None if classes is None else tuple(classes)

    def save_checkpoint(self, out_dir: str, filename: str, **_: Any) -> None:
        """Write a checkpoint from which training can go on; to be called between two iterations, not within one.

        Raises:
            TrainingError: a weight is not finite; nothing is written.
            OutputError: the file cannot be written.
        """
        if not is_main_process():
            return
        state = unwrapped(self.model).state_dict()
        bad = next((name for name, value in state.items() if not _finite(value)), None)
        if bad is not None:
            raise TrainingError(f"iteration {self.iter}: the weight {bad} is not finite any more, so nothing was "
                                "saved; earlier checkpoints are intact. Lower the learning rate, or set "
                                "optim_wrapper.clip_grad")
        meta = dict(self._meta(), validation_pending=self.train_loop.validation_pending)
        checkpoint = dict(state_dict=state, optimizer=self.optim_wrapper.state_dict(), meta=meta,
                          param_schedulers=[s.state_dict() for s in self.param_schedulers or []])
        if self._parts.state_dict():
            checkpoint["task_state_dict"] = self._parts.state_dict()
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        save_checkpoint_file(checkpoint, Path(out_dir) / filename)


def _finite(value: torch.Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _visualizer(cfg: Any) -> dict | None:
    backends = cfg.get("vis_backends")
    if not backends:
        return None
    for backend in backends:
        if backend.get("type") == "TensorboardVisBackend" and not _installed("tensorboard"):
            raise ConfigError("vis_backends asks for TensorBoard, which is not installed: pip install tensorboard")
    return dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend"), *backends])


def _installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def next_number() -> int:
    """A number that no other call of this process gets."""
    next_number.last = getattr(next_number, "last", -1) + 1
    return next_number.last
