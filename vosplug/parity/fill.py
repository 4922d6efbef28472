"""Deterministic pseudo-random weights as a function of names and shapes (the rule that golden manifests state)."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

Rules = Sequence[tuple[str, float]]


def fill_tensor(name: str, shape: Sequence[int], gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Weights of one tensor: a frozen stream seeded by the CRC-32 of its name, scaled by what kind of tensor it is.

    Returns:
        float32 (int64 zeros for ``num_batches_tracked``).
    """
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(tuple(shape), np.int64)
    stream = np.random.RandomState(zlib.crc32(name.encode()))  # noqa: NPY002 (the rule is defined by this generator)
    if kind == "running_var":
        values = stream.random_sample(tuple(shape)) + 0.5
    else:
        values = stream.standard_normal(tuple(shape))
        if kind == "running_mean":
            values = 0.1 * values
        elif len(shape) >= 2:
            values = values * (gain / np.sqrt(np.prod(shape[1:])))
        else:
            values = 1 + 0.1 * values if kind == "weight" else 0.05 * values
    return (np.asarray(values, np.float64) + offset).astype(np.float32)


def fill_state_dict(shapes: Mapping[str, Sequence[int]], gains: Rules | None = None,
                    offsets: Rules | None = None) -> dict[str, np.ndarray]:
    """Weights of a whole model; gains multiply and offsets add up over all prefixes that a name starts with."""
    state = {}
    for name, shape in shapes.items():
        gain = float(np.prod([value for prefix, value in gains or () if name.startswith(prefix)]))
        offset = float(sum(value for prefix, value in offsets or () if name.startswith(prefix)))
        state[name] = fill_tensor(name, [int(s) for s in shape], gain, offset)
    return state


def checksum(state: Mapping[str, np.ndarray]) -> str:
    """CRC-32 over names and little-endian bytes in the order of the names, as 8 hexadecimal digits."""
    value = 0
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        array = array.astype("<i8" if array.dtype.kind == "i" else "<f4")
        value = zlib.crc32(array.tobytes(), zlib.crc32(name.encode(), value))
    return f"{value:08x}"
