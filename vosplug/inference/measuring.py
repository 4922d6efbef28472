"""Speed and memory of sessions."""

import contextlib
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..utils.process_memory import MIB, high_water_mib, resident_mib


@dataclass
class Measurement:
    """Times of single frames and the peak of memory.

    Attributes:
        seconds: of each measured frame, or clip.
        first: of the first frame, or clip, of each run, on which a method may learn for a while.
        frames: frames that such a time is of.
        stages: of each run, stage -> seconds of a mean frame; empty where nobody took these times.
        peak_mib: largest memory in use so far: resident memory above that before the model was built (CPU), or memory
            that torch allocated on the GPU, weights included in both.
    """

    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    peak_mib: float = 0.0
    frames: int = 1

    def numbers(self) -> dict[str, float]:
        """``fps``, ``latency_ms_p50``, ``latency_ms_p95``, ``first_frame_ms``, ``peak_mem_mib``; ``stages_ms``."""
        times = np.array(self.seconds)
        return {"fps": float(self.frames * len(times) / times.sum()),
                "latency_ms_p50": float(1000 * np.percentile(times, 50)),
                "latency_ms_p95": float(1000 * np.percentile(times, 95)),
                "first_frame_ms": float(1000 * np.median(self.first)) if self.first else 0.0,
                "peak_mem_mib": float(self.peak_mib), **({"stages_ms": self.stages_ms()} if self.stages else {})}

    def stages_ms(self) -> dict[str, float]:
        """Medians over the runs; what is in no stage is ``rest``."""
        names = dict.fromkeys(name for run in self.stages for name in run)
        found = {name: float(1000 * np.median([run.get(name, 0.0) for run in self.stages])) for name in names}
        return {**found, "rest": float(1000 * np.mean(self.seconds)) - sum(found.values())}


class PeakMemory:
    """Measures the peak of memory within its context, in MiB, above that at its start (CPU) or in all (GPU).

    Args:
        device: device of the model.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.mib = 0.0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return self
        give_back_free_memory()
        self._start = resident_mib()
        self._highest = self._start
        self._exact = reset_high_water()
        self._stop = threading.Event()
        self._thread = None
        if not self._exact:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self.device.type == "cuda":
            self.mib = torch.cuda.max_memory_allocated(self.device) / MIB
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        highest = high_water_mib() if self._exact else max(self._highest, resident_mib())
        self.mib = max(0.0, highest - self._start)

    def _sample(self) -> None:
        while not self._stop.wait(0.005):
            self._highest = max(self._highest, resident_mib())


def measure(feed: Callable[[int, np.ndarray], Any], frames: Iterable[np.ndarray], *, length: int = 1, untimed: int = 4,
            result: Measurement | None = None, clock: Callable[[], float] = time.perf_counter) -> Measurement:
    """Give frames to a session and take the time of each, or of each clip.

    Args:
        feed: gives the session a frame, whose number comes first; when it is back, the frame has been segmented, or
            waits for its clip. Results come back to the CPU, so that a GPU has finished then.
        frames: (H, W, 3) uint8 RGB; what does not fill a clip at their end is left out.
        length: frames of a clip.
        untimed: clips at the beginning that are not timed.
        result: an earlier measurement to add to.
        clock: gives seconds; ``time.process_time`` counts what the processor worked for this process alone.
    """
    result, spent = result or Measurement(), 0.0
    result.frames = length
    for index, image in enumerate(frames):
        begin = clock()
        feed(index, image)
        spent += clock() - begin
        clips, rest = divmod(index + 1, length)
        if rest == 0:
            if clips == 1:
                result.first.append(spent)
            if clips > untimed:
                result.seconds.append(spent)
            spent = 0.0
    return result


def give_back_free_memory() -> None:
    """Return free pages of the C allocator to the system, where it is glibc, so that they are not counted."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def reset_high_water() -> bool:
    """Let the kernel's high-water mark of resident memory start anew; False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = high_water_mib()
    except (OSError, ValueError):
        return False
    return before - resident_mib() < 16
