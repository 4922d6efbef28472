"""What sparse attention is for in SST: against dense attention, and one of our own calls against another.

Sets of cases: labels, whose object affinity should cost little; one frame of queries against all; grid, local and
strided attention against two products over all cells; and grid attention over maps of growing size.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from vosplug.ops import grid_attention, local_attention, strided_attention
from vosplug.ops.benchmark import Case

OP = "sst_attention"
LABELLED = ((4, 64, 4, 20, 20), 4, 3)
"""Shape of the tensors, heads and objects of the calls with labels."""
RADIUS, STEP = 3, 4
FRAMES, SIDE, CHANNELS = 4, 59, 128
"""The buffer of a frame of 465 x 465, with three frames before the current one."""
H = 8
GROWTH = (30, 39, 48, 59, 75, 93, 117)
"""Sides of square maps."""

Call = Callable[..., object]


def small_forms() -> dict[str, Call]:
    """Our calls where windows are small, by name."""
    return {"grid": grid_attention, "strided": lambda *x, **o: strided_attention(*x, (1, STEP, STEP), **o),
            "local": lambda *x, **o: local_attention(*x, RADIUS, **o)}


def forms() -> dict[str, Call]:
    """Our calls with the numbers of the published model, by name."""
    return {"grid": grid_attention, "strided": lambda *x, **o: strided_attention(*x, (1, H, H), **o),
            "local": lambda *x, **o: local_attention(*x, (FRAMES - 1, H - 1, H - 1), **o)}


def tensors(shape: tuple[int, ...], device: str) -> list[Tensor]:
    """Query, key and value of a shape, channels last."""
    torch.manual_seed(0)
    return [(torch.randn(*shape) * 0.3).to(device).to(memory_format=torch.channels_last_3d) for _ in range(3)]


def naive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of every cell to all cells by two products; one head, (B, C, T, H, W)."""
    rows = [x.flatten(2).transpose(1, 2) for x in (q, k, v)]
    weights = torch.softmax(rows[0] @ rows[1].transpose(1, 2), -1)
    return (weights @ rows[2]).transpose(1, 2).unflatten(2, q.shape[2:])


def there_and_back(call: Call, inputs: list[Tensor]) -> Callable[[], Tensor]:
    """A call and its gradients, of all that it gives."""
    def run() -> Tensor:
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in inputs]
            results = call(*leaves)
            parts = results if isinstance(results, tuple) else (results,)
            sum(part.sum() for part in parts).backward()
        return leaves[0].grad

    return run


def case(shape: tuple[int, ...], rival: str, ours: Callable, theirs: Callable, note: str) -> Case:
    """A comparison in float32."""
    return Case(OP, f"({','.join(map(str, shape))})", "float32", 1.0, rival, ours, theirs, note)


def against_naive(device: str, side: int) -> Iterator[Case]:
    """Each kind against dense attention, one head."""
    shape = (1, CHANNELS, FRAMES, side, side)
    inputs = tensors(shape, device)
    for name, call in {"dense": lambda *x: strided_attention(*x, 1), **forms()}.items():
        yield case(shape, "naive, two products", lambda call=call: call(*inputs), lambda: naive(*inputs), name)


def with_labels(device: str, quick: bool) -> Iterator[Case]:
    """Forward and backward with labels against the same without."""
    shape, heads, objects = LABELLED
    shape = (1, *shape[1:]) if quick else shape
    inputs = tensors(shape, device)
    labels = torch.randint(objects, (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(1)).to(device)
    for name, call in small_forms().items():
        ours = there_and_back(lambda *x, call=call: call(*x, heads=heads, labels=labels, num_objects=objects), inputs)
        theirs = there_and_back(lambda *x, call=call: call(*x, heads=heads), inputs)
        yield case(shape, "without labels", ours, theirs, f"{name}, forward and backward, labels")


def one_frame_asks(device: str, side: int) -> Iterator[Case]:
    """Queries of the last frame alone against those of all frames."""
    shape = (1, CHANNELS, FRAMES, side, side)
    q, k, v = tensors(shape, device)
    last = q[:, :, -1:].contiguous(memory_format=torch.channels_last_3d)
    for name, call in forms().items():
        yield case(shape, "all frames ask", lambda call=call: call(last, k, v, heads=8, query_frames=1),
                   lambda call=call: call(q, k, v, heads=8), f"{name}, query_frames=1")


def growing(device: str) -> Iterator[Case]:
    """Grid attention alone; its rival is grid attention on the smallest of the maps."""
    smallest = tensors((1, CHANNELS, 3, GROWTH[0], GROWTH[0]), device)
    for side in GROWTH:
        shape = (1, CHANNELS, 3, side, side)
        inputs = tensors(shape, device)
        yield case(shape, f"3x{GROWTH[0]}x{GROWTH[0]}", lambda inputs=inputs: grid_attention(*inputs),
                   lambda: grid_attention(*smallest), "grid, growing")


def cases(device: str, quick: bool) -> Iterator[Case]:
    """Yield all comparisons; ``quick`` keeps small maps."""
    side = 15 if quick else SIDE
    yield from against_naive(device, side)
    yield from one_frame_asks(device, side)
    yield from with_labels(device, quick)
    if not quick:
        yield from growing(device)
