"""A config as a list of training stages that run one after the other."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..utils.config_check import declare_keys
from ..utils.errors import ConfigError, did_you_mean

STAGE_KEYS = ("name", "max_iters", "init", "model", "train_dataloader", "clip", "curriculum", "task", "optim_wrapper",
              "param_scheduler", "train_cfg", "val_dataset", "val_evaluator", "val_cfg", "default_hooks",
              "custom_hooks", "load_from")
REQUIRED = ("model", "train_dataloader", "optim_wrapper", "train_cfg")
declare_keys("stages.*", STAGE_KEYS)


@dataclass(frozen=True)
class Stage:
    """One stage of a training run.

    Attributes:
        index, count: its number, counted from 0, and the number of all stages.
        name: its name, for folders and messages.
        cfg: its whole config: that of the file with the stage's own settings merged in, without ``stages``.
        folder: where its checkpoints and logs go.
        init: ``"previous"`` (weights that the stage before ended with), the path of a checkpoint, or None.
    """

    index: int
    count: int
    name: str
    cfg: Config
    folder: Path
    init: str | None

    @property
    def max_iters(self) -> int:
        """Length of the stage in iterations."""
        return self.cfg.train_cfg.max_iters

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.cfg.get("seed", 0))

    @property
    def data_seed(self) -> int:
        """Seed of the clips: different for each stage."""
        return int(np.random.SeedSequence((self.seed, self.index)).generate_state(1)[0])


def split_stages(cfg: Config) -> list[Stage]:
    """Stages of ``cfg``; a config without ``stages`` is one stage, whose files lie in the work dir itself.

    Raises:
        ConfigError: a needed key is missing, a key of a stage is unknown, or a length is not a positive whole number.
    """
    root = Path(cfg.work_dir)
    settings = cfg.get("stages")
    if not settings:
        return [_checked(Stage(0, 1, "train", _copy(cfg), root, cfg.get("load_from")))]
    if not isinstance(settings, (list, tuple)):
        raise ConfigError(f"stages must be a list of dicts, got a {type(settings).__name__}")
    return [_stage(cfg, index, dict(own), len(settings), root) for index, own in enumerate(settings)]


def _stage(cfg: Config, index: int, own: dict, count: int, root: Path) -> Stage:
    for key in own:
        if key not in STAGE_KEYS:
            raise ConfigError(f"stage {index} has the unknown key {key!r}.{did_you_mean(key, STAGE_KEYS)} "
                              f"Known: {', '.join(STAGE_KEYS)}.")
    name = str(own.pop("name", f"stage{index}"))
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError(f"stage {index}: the name {name!r} becomes a folder; use letters, digits, '_', '-' and '.'")
    init = own.pop("init", "previous" if index else cfg.get("load_from"))
    if init == "previous" and index == 0:
        raise ConfigError(f"stage {name}: the first stage has no previous one; init must be a checkpoint or None")
    if "max_iters" in own:
        own["train_cfg"] = {**own.get("train_cfg", {}), "max_iters": own.pop("max_iters")}
    merged = _copy(cfg)
    merged.merge_from_dict({key: _replacing(merged.get(key), value) for key, value in own.items()})
    return _checked(Stage(index, count, name, merged, root / f"{index}_{name}", own.get("load_from", init)))


def _copy(cfg: Config) -> Config:
    copied = copy.deepcopy(cfg)
    copied.pop("stages", None)
    return copied


def _replacing(old: Any, new: Any) -> Any:
    """``new`` marked so that it replaces, not extends, each dict of ``old`` whose ``type`` it changes."""
    if not isinstance(new, Mapping) or not isinstance(old, Mapping) or "_delete_" in new:
        return new
    if "type" in new and new["type"] != old.get("type"):
        return {**new, "_delete_": True}
    return {key: _replacing(old.get(key), value) for key, value in new.items()}


def _checked(stage: Stage) -> Stage:
    where = "the config" if stage.count == 1 else f"stage {stage.name}"
    for key in REQUIRED:
        if not stage.cfg.get(key):
            raise ConfigError(f"{where} needs {key!r} for training (see docs/training.md)")
    iterations = stage.cfg.train_cfg.get("max_iters")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise ConfigError(f"{where}: train_cfg.max_iters must be a whole number of at least 1, got {iterations!r}")
    seed = stage.cfg.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed must be a whole number of at least 0, got {seed!r}")
    return stage
