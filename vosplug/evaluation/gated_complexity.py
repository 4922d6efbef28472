"""Weight and work of models behind a reuse gate, by running them with the gate held open and closed."""

from torch import nn

from ..models.segmentors.reuse_gated import ReuseGated
from .complexity import Complexity, measure_frames
from .reuse.setting import GateSetting, deciding

UNGATED, FULL, REUSE, COPY, UPDATE = "ungated", "full", "reuse", "copy", "update"
ABOUT_SPEED = "memory frames left out"


def measure_gated(model: ReuseGated, size: tuple[int, int] = (480, 854), objects: int = 1,
                  memory_frames: int = 1) -> Complexity:
    """Weigh a gated segmentor and count the work of its kinds of frames; see :func:`~.complexity.measure_frames`.

    Kinds: ``first`` (starts the objects), ``full`` (all objects are computed, between frames that the memory keeps),
    ``reuse`` and ``copy`` (all of them are reused, by translation or by copying), ``update`` (full, and kept by the
    memory or learnt from), and ``ungated``, what the method without a gate does on a frame between.
    """
    options = dict(size=size, objects=objects, memory_frames=memory_frames)
    with deciding(model, GateSetting(tau=1.0)):
        result = measure_frames(model, **options)
    found = {"first": result.macs["first"], FULL: result.macs["query"]}
    for kind, mode in ((REUSE, "translate"), (COPY, "copy")):
        with deciding(model, GateSetting(tau=0.0, mode=mode)):
            found[kind] = measure_frames(model, **options).macs["query"]
    if "memory" in result.macs:
        found[UPDATE] = result.macs["memory"]
    plain = measure_frames(model.segmentor, **options).macs["query"]
    found[UNGATED] = {"segmentor": sum(plain.values())}
    result.macs, result.main_kind = found, FULL
    return result


def measure(model: nn.Module, **options) -> Complexity:
    """Of a segmentor with or without a gate."""
    return (measure_gated if isinstance(model, ReuseGated) else measure_frames)(model, **options)


def mean_of_rate(result: Complexity, rate: float, mode: str = "translate") -> dict[str, float]:
    """Work of a mean frame at a rate of reuse, and the speed-up over the method without a gate that follows from work.

    Frames that the memory keeps are left out, and so is all that multiply-accumulates do not tell.
    """
    full, reused = result.total(FULL), result.total(COPY if mode == "copy" else REUSE)
    mean = full - rate * (full - reused)
    return {"reuse_rate": rate, "macs_g_mean": mean / 1e9, "speedup_by_work": result.total(UNGATED) / mean}
