"""Resident memory of this process, on every system."""

import sys
from pathlib import Path

import psutil

MIB = 2**20


def resident_mib() -> float:
    """Resident memory in MiB."""
    return psutil.Process().memory_info().rss / MIB


def high_water_mib() -> float:
    """Largest resident memory so far in MiB.

    Raises:
        ValueError: this system keeps no such number.
    """
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)  # Windows
    if peak is None:
        raise ValueError("this system keeps no high-water mark")
    return peak / MIB
