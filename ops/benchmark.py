"""Timing of an operator against a rival: alternating in one process, medians, time of the thread or of the device."""

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One comparison: ``ours`` and ``rival`` do the same work on the same inputs.

    ``density`` is the share of sites that are computed (1 where the operator has none). ``note`` says what form it is.
    """

    op: str
    shape: str
    dtype: str
    density: float
    rival: str
    ours_call: Callable[[], object]
    rival_call: Callable[[], object]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A measured case, under the keys of the JSON file. ``*_mib``: memory above the start at the peak of a call."""

    op: str
    shape: str
    dtype: str
    density: float
    threads: int
    rival: str
    ours_ms: float
    rival_ms: float
    speedup: float
    note: str = field(default="")
    ours_mib: float | None = None
    rival_mib: float | None = None

    def as_dict(self) -> dict:
        """Return the row for JSON."""
        return asdict(self)


def keep_freed_memory() -> None:
    """Ask the C library to keep freed blocks, so that fresh outputs (the rival's, too) do not cost page faults."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass


def peak_mib(call: Callable[[], object], device: str) -> float | None:
    """Return by how much ``call`` raises the memory in use at its peak, its result included; None where unknown."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free must not hide what is taken
        Path("/proc/self/clear_refs").write_text("5")  # forget the old peak
        before = _resident("VmRSS")
        call()
        return (_resident("VmHWM") - before) / 1024
    except (OSError, AttributeError, StopIteration):
        return None


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _seconds(call: Callable[[], object], device: str, threads: int) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - begin
    if threads > 1:
        return _wall_seconds(call)
    begin = time.thread_time()
    call()
    return time.thread_time() - begin


def _wall_seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _medians(sides: Sequence[Callable[[], object]], seconds: Callable, budget: float) -> list[float]:
    """Time the sides in turns for about ``budget`` seconds, at least 5 turns; return their medians in milliseconds."""
    for call in sides:
        call()
        call()
    times = [[] for _ in sides]
    end = time.perf_counter() + budget
    while len(times[0]) < 5 or (time.perf_counter() < end and len(times[0]) < 101):
        for call, values in zip(sides, times, strict=True):
            values.append(seconds(call))
    return [statistics.median(values) * 1e3 for values in times]


def measure(case: Case, device: str = "cpu", threads: int = 1, budget: float = 3.0) -> Row:
    """Time both sides of ``case`` in turns for about ``budget`` seconds, and take the memory of each."""
    sides = (case.ours_call, case.rival_call)
    ours, rival = _medians(sides, lambda call: _seconds(call, device, threads), budget)
    memory = [None if m is None else round(m, 2) for m in (peak_mib(call, device) for call in sides)]
    return Row(
        op=case.op, shape=case.shape, dtype=case.dtype, density=case.density, threads=threads, rival=case.rival,
        ours_ms=round(ours, 4), rival_ms=round(rival, 4), speedup=round(rival / ours, 3), note=case.note,
        ours_mib=memory[0], rival_mib=memory[1],
    )  # fmt: skip


def measure_scaling(case: Case, threads: int, budget: float = 3.0) -> list[Row]:
    """Time each side of ``case`` on ``threads`` CPU threads and on one, in turns, by the wall clock: two rows.

    ``ours_ms`` is then the time on all threads, ``rival_ms`` that on one, and ``rival`` says which side it is.
    """

    def on(count: int, call: Callable[[], object]) -> Callable[[], object]:
        def run():
            torch.set_num_threads(count)
            call()

        return run

    rows = []
    for name, call in (("ours", case.ours_call), (case.rival, case.rival_call)):
        many, one = _medians((on(threads, call), on(1, call)), _wall_seconds, budget)
        rows.append(
            Row(
                op=case.op, shape=case.shape, dtype=case.dtype, density=case.density, threads=threads,
                rival=f"{name}, on one thread", ours_ms=round(many, 4), rival_ms=round(one, 4),
                speedup=round(one / many, 3), note=case.note,
            )  # fmt: skip
        )
    return rows


def median_rows(rounds: Sequence[Sequence[Row]]) -> list[Row]:
    """Return, of rows that were measured several times over, those of the median speed-up (the lower of two)."""
    return [sorted(rows, key=lambda row: row.speedup)[(len(rows) - 1) // 2] for rows in zip(*rounds, strict=True)]


def blob_policy(height: int, width: int, density: float, seed: int = 0) -> Tensor:
    """Return a (1, H, W) uint8 policy: three ellipses of total area ``density`` compute, a ring around them reuses."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(3, 2, generator=generator) * torch.tensor([height, width])
    size, stretch = (0.5 + torch.rand(3, 1, 1, generator=generator) * k for k in (1.0, 1.5))
    dy = torch.arange(height)[None, :, None] - centre[:, :1, None]
    dx = torch.arange(width)[None, None, :] - centre[:, 1:, None]
    distance = ((dy / (size * stretch)) ** 2 + (dx / (size / stretch)) ** 2).amin(0).reshape(-1)
    rank = torch.empty(height * width)
    rank[distance.argsort()] = torch.arange(height * width, dtype=torch.float32) / (height * width)
    policy = (rank < density + 0.5 * (1 - density)).to(torch.uint8) + (rank < density).to(torch.uint8)
    return policy.reshape(1, height, width)


def random_policy(height: int, width: int, density: float, seed: int = 0) -> Tensor:
    """Return a (1, H, W) uint8 policy without any clustering: ``density`` compute, half of the rest reuse."""
    chosen = torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed))
    return (chosen < density + 0.5 * (1 - density)).to(torch.uint8) + (chosen < density).to(torch.uint8)
