"""Weights of the official STCN."""

import torch
from torch import Tensor

from ..registry import CONVERTERS
from .base import Converter


@CONVERTERS.register_module(name="stcn")
class STCNConverter(Converter):
    """Official STCN (github.com/hkchengrex/STCN) -> ``configs/stcn_r50.py``.

    A checkpoint of the single-object pre-training has no channel for the masks of other objects in the first
    convolution of the value encoder; that channel becomes zero, so that a single object is treated the same.
    """

    rules = (
        (r"key_encoder\.res2\.(.*)", r"key_encoder.backbone.layer1.\1"),
        (r"key_encoder\.((?:conv1|bn1|layer2|layer3)\..*)", r"key_encoder.backbone.\1"),
        (r"key_proj\.key_proj\.(.*)", r"key_encoder.key_proj.\1"),
        (r"key_comp\.(.*)", r"key_encoder.context_proj.\1"),
        (r"value_encoder\.fuser\.attention\.ChannelGate\.mlp\.1\.(.*)",
         r"value_encoder.fuser.attention.channel.mlp.0.\1"),
        (r"value_encoder\.fuser\.attention\.ChannelGate\.mlp\.3\.(.*)",
         r"value_encoder.fuser.attention.channel.mlp.2.\1"),
        (r"value_encoder\.fuser\.attention\.SpatialGate\.spatial\.conv\.(.*)",
         r"value_encoder.fuser.attention.spatial.conv.\1"),
        (r"value_encoder\.(fuser\..*)", r"value_encoder.\1"),
        (r"value_encoder\.((?:conv1|bn1|layer1|layer2|layer3)\..*)", r"value_encoder.backbone.\1"),
        (r"decoder\.up_16_8\.(.*)", r"decoder.ups.0.\1"),
        (r"decoder\.up_8_4\.(.*)", r"decoder.ups.1.\1"),
        (r"(decoder\.(?:compress|pred)\..*)", r"\1"),
    )
    model_config = "stcn_r50.py"

    def prepare(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the channel of the other objects' masks where it is missing."""
        stem = state.get("value_encoder.conv1.weight")
        if stem is not None and stem.shape[1] == 4:
            state["value_encoder.conv1.weight"] = torch.cat([stem, torch.zeros_like(stem[:, :1])], dim=1)
        return state
