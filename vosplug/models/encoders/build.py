"""Building the two encoders of a memory-based method."""

from torch import nn

from ...registry import ENCODERS
from ...utils.errors import ConfigError


def build_encoders(key_encoder: dict, value_encoder: dict) -> tuple[nn.Module, nn.Module]:
    """The encoder of frames, and that of masked frames, which reads the features of the first.

    Raises:
        ConfigError: their strides differ.
    """
    keys = ENCODERS.build(key_encoder)
    values = ENCODERS.build(value_encoder, base_channels=keys.base_channels)
    if values.stride != keys.stride:
        raise ConfigError(f"keys have stride {keys.stride} but values {values.stride}: give both encoders the same "
                          "fusion")
    return keys, values
