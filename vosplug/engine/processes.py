"""Several training processes, on one machine or many."""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as torch_dist

from ..utils.errors import ConfigError, did_you_mean

LAUNCHERS = ("none", "pytorch")
VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT_MINUTES = 60


def pick_device(name: str | None = None) -> torch.device:
    """Device of this process: ``name``, or the CUDA GPU of its local rank, or the CPU where there is none.

    Apple's GPU (``mps``) is taken only where it is asked for.

    Raises:
        ConfigError: the device is unknown, or is not there.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}: expected cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"vosplug runs on cpu, cuda or mps, not on {name!r}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device mps: this machine or this build of torch has no Apple GPU; use --device cpu")
    if device.type == "cuda":
        index = int(os.environ.get("LOCAL_RANK", 0)) if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise ConfigError(f"device {name}: this machine has {torch.cuda.device_count()} usable CUDA devices, "
                              f"number {index} was asked for; use --device cpu, or start fewer processes")
        device = torch.device("cuda", index)
    return device


def check_launcher(launcher: str) -> None:
    """Raise :class:`ConfigError` unless this process was started the way that ``launcher`` says."""
    if launcher not in LAUNCHERS:
        raise ConfigError(f"unknown launcher {launcher!r}.{did_you_mean(launcher, LAUNCHERS)} "
                          f"Known: {', '.join(LAUNCHERS)}.")
    missing = [name for name in VARIABLES if name not in os.environ]
    if launcher == "pytorch" and missing:
        raise ConfigError(f"--launcher pytorch needs the environment variables that torchrun sets ({', '.join(missing)}"
                          " missing): start it as `torchrun --nproc_per_node N tools/train.py CONFIG --launcher "
                          "pytorch`, or leave --launcher out")
    if launcher == "none" and not missing and int(os.environ["WORLD_SIZE"]) > 1:
        raise ConfigError("torchrun started several processes, which would train separately and overwrite each other's "
                          "files: add --launcher pytorch")


@contextmanager
def process_group(launcher: str, device: torch.device) -> Iterator[None]:
    """Join the process group that ``launcher`` describes (NCCL on GPUs, gloo on CPUs); leave it at the end."""
    check_launcher(launcher)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if launcher == "none":
        yield
        return
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # else mmengine does the same, with a warning per process
        os.environ.setdefault(name, "1")
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch_dist.init_process_group(backend, timeout=datetime.timedelta(minutes=TIMEOUT_MINUTES))
    try:
        yield
    finally:
        torch_dist.destroy_process_group()
