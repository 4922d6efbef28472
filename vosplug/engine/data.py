"""Loading of training clips."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import cv2
import torch
from mmengine.config import ConfigDict
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ..datasets import ClipBatchSampler, ClipRequest
from ..registry import DATASETS
from ..utils.config_check import declare_keys
from ..utils.errors import ConfigError, DataError, TrainingError, VosplugError, did_you_mean
from ..utils.interrupts import leave_interrupts_to_parent

LOADER_KEYS = ("dataset", "batch_size", "num_workers", "prefetch_factor", "pin_memory", "clip", "weights")
CLIP_KEYS = ("length", "max_skip")
declare_keys("train_dataloader", LOADER_KEYS)
declare_keys("clip", CLIP_KEYS)
declare_keys("train_dataloader.clip", CLIP_KEYS)


class ErrorsAsItems(Dataset):
    """Hands errors of a clip data set out as items, so that the main process can raise them without a traceback."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: ClipRequest) -> dict | VosplugError:
        try:
            return self.dataset[request]
        except VosplugError as error:
            return error
        except OSError as error:
            return DataError(f"clip {request.index}: {error.filename or 'a file'}: {error.strerror or error}")
        except MemoryError:
            return DataError(f"clip {request.index}: there is not enough memory to make it")


def collate_clips(items: list) -> dict[str, list] | VosplugError:
    """List of ``dict(inputs, data_samples)`` -> dict of lists; the first error, if there is one.

    A worker puts the tensors into shared memory here, not when they are sent: there, a lack of it would be printed and
    the clips lost, and training would wait for them without end.
    """
    error = next((item for item in items if isinstance(item, VosplugError)), None)
    if error is not None:
        return error
    batch = {key: [item[key] for item in items] for key in items[0]}
    if get_worker_info() is not None:
        try:
            share(batch)
        except (RuntimeError, OSError) as reason:
            return TrainingError(f"a data worker has no room for its clips in shared memory ({short(reason)}): make "
                                 "/dev/shm larger (docker run --shm-size=2g), or use a smaller batch_size, "
                                 "prefetch_factor or num_workers of train_dataloader, or num_workers=0")
    return batch


def share(value: Any) -> None:
    """Move all tensors in dicts, lists and samples to shared memory."""
    if isinstance(value, torch.Tensor):
        value.share_memory_()
    elif isinstance(value, Mapping):
        for item in value.values():
            share(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            share(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            share(getattr(value, field.name))


def short(error: Exception) -> str:
    """The first line of an error."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def start_worker(worker: int) -> None:
    """Start of a data worker: several workers with a thread pool each would fight for the cores."""
    leave_interrupts_to_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def build_train_loader(settings: Mapping[str, Any], *, seed: int, clip: Mapping[str, Any] | None = None,
                       pin_memory: bool = False) -> DataLoader:
    """Build the infinite, resumable loader of training clips.

    Args:
        settings: ``train_dataloader`` of a config: ``dataset``, ``batch_size`` (clips per process), ``num_workers``,
            ``prefetch_factor``, ``pin_memory``, ``weights`` (of the sources of a :class:`MixedClips`), ``clip``.
        seed: of the clips.
        clip: ``length`` and ``max_skip``; those in ``settings`` win.
        pin_memory: default of that option.

    Raises:
        ConfigError: a key is unknown, or a value is out of range.
    """
    for key in settings:
        if key not in LOADER_KEYS:
            raise ConfigError(f"train_dataloader has no option {key!r}.{did_you_mean(key, LOADER_KEYS)} "
                              f"Its options: {', '.join(LOADER_KEYS)}.")
    clip = {**(clip or {}), **(settings.get("clip") or {})}
    for key in clip:
        if key not in CLIP_KEYS:
            raise ConfigError(f"clip has no option {key!r}.{did_you_mean(key, CLIP_KEYS)} "
                              f"Its options: {', '.join(CLIP_KEYS)}.")
    if "dataset" not in settings:
        raise ConfigError("train_dataloader needs 'dataset', the config of a clip data set")
    dataset = settings["dataset"]
    dataset = DATASETS.build(ConfigDict(dataset)) if isinstance(dataset, Mapping) else dataset
    sampler = ClipBatchSampler(dataset, batch_size=settings.get("batch_size", 4), seed=seed,
                               weights=settings.get("weights"), **clip)
    workers = settings.get("num_workers", 2)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise ConfigError(f"train_dataloader.num_workers must be a whole number of at least 0, got {workers!r}")
    prefetch = {"prefetch_factor": settings.get("prefetch_factor", 2)} if workers else {}
    return DataLoader(ErrorsAsItems(dataset), batch_sampler=sampler, num_workers=workers, collate_fn=collate_clips,
                      worker_init_fn=start_worker, pin_memory=settings.get("pin_memory", pin_memory), **prefetch)
