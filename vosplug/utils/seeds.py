"""Random numbers that depend on what they are for, and on nothing that ran before."""

import zlib

import numpy as np


def generator_of(*parts: object) -> np.random.Generator:
    """Generator for a purpose, such as (seed, frame, object id): the same parts give the same numbers everywhere."""
    return np.random.default_rng([zlib.crc32(repr(part).encode()) for part in parts])
