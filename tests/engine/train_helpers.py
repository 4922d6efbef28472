"""Short trainings in this process and in others."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tiny_parts  # noqa: F401  (registers the parts)
import torch
from mmengine.config import Config

from vosplug.engine import run_training
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).with_name("tiny_parts.py")

TINY = dict(
    model=dict(type="TinySegmentor", preprocessor=dict(type="VOSPreprocessor"), losses=[dict(type="TinyCE")]),
    train_dataloader=dict(dataset=dict(type="TinyClips"), batch_size=2, num_workers=0),
    clip=dict(length=3, max_skip=2),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2), clip_grad=dict(max_norm=1.0)),
    param_scheduler=[dict(type="LinearLR", start_factor=0.1, end=3),
                     dict(type="CosineAnnealingLR", begin=0.5, eta_min_ratio=0.02)],
    train_cfg=dict(max_iters=12),
)


def tiny_config(work_dir: Path, **changes) -> Config:
    """The tiny config with top-level keys replaced."""
    return Config({**copy.deepcopy(TINY), "work_dir": str(work_dir), **copy.deepcopy(changes)})


def train(work_dir: Path, *, resume: bool = False, overwrite: bool = False, **changes) -> list:
    """Train the tiny config in this process, on the CPU."""
    return run_training(tiny_config(work_dir, **changes), resume=resume, overwrite=overwrite,
                        device=torch.device("cpu"))


def write_config(path: Path, **changes) -> Path:
    """Write the tiny config as a file."""
    config = {**copy.deepcopy(TINY), **changes}
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in config.items()))
    return path


def command(*arguments: object, torchrun: int = 0) -> list[str]:
    """Command line of tools/train.py with the tiny parts as a plugin."""
    python = [sys.executable]
    if torchrun:
        python += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(torchrun)]
    return [*python, str(ROOT / "tools" / "train.py"), *map(str, arguments), "--plugin", str(PLUGIN), "--device", "cpu"]


def call(*arguments: object, torchrun: int = 0, env: dict | None = None, **options) -> subprocess.CompletedProcess:
    """Run tools/train.py to its end."""
    return subprocess.run(command(*arguments, torchrun=torchrun), capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}, **options)


def davis_tree(root: Path, videos: dict[str, int], size: int = 32) -> Path:
    """DAVIS layout with one moving square per video; ``videos`` gives their numbers of frames."""
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n".join(videos) + "\n")
    for name, count in videos.items():
        for index in range(count):
            image = np.random.default_rng(index).integers(0, 120, (size, size, 3), dtype=np.uint8)
            labels = np.zeros((size, size), np.uint8)
            labels[8:18, 4 + index:14 + index] = 1
            image[labels > 0] += 120
            for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
                (root / folder / "480p" / name).mkdir(parents=True, exist_ok=True)
                path = root / folder / "480p" / name / f"{index:05d}.{suffix}"
                write_image(path, image) if suffix == "jpg" else write_mask(path, labels)
    return root


def validation(root: Path) -> dict:
    """Config keys that validate on the videos of :func:`davis_tree`."""
    return dict(val_dataset=dict(type="DavisDataset", data_root=str(root)), val_evaluator=dict(type="DavisMetric"))


def weights(path: Path) -> dict[str, torch.Tensor]:
    """State dict of a checkpoint."""
    return load_checkpoint_file(path)["state_dict"]


def differing(first: Path, second: Path) -> list[str]:
    """Names of weights that are not bit-identical in two checkpoints."""
    one, two = weights(first), weights(second)
    assert list(one) == list(two)
    return [name for name in one if not torch.equal(one[name], two[name])]
