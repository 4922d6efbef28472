"""Weights of the official XMem."""

from ..registry import CONVERTERS
from .stcn import STCNConverter


@CONVERTERS.register_module(name="xmem")
class XMemConverter(STCNConverter):
    """Official XMem (github.com/hkchengrex/XMem) -> ``configs/xmem_r50.py``.

    A checkpoint of single-object training is completed as STCN's is.
    """

    rules = (
        (r"key_proj\.d_proj\.(.*)", r"key_encoder.shrinkage_proj.\1"),
        (r"key_proj\.e_proj\.(.*)", r"key_encoder.selection_proj.\1"),
        (r"value_encoder\.hidden_reinforce\.(.*)", r"deep_update.\1"),
        (r"decoder\.hidden_update\.g16_conv\.(.*)", r"normal_update.projections.0.\1"),
        (r"decoder\.hidden_update\.g8_conv\.(.*)", r"normal_update.projections.1.\1"),
        (r"decoder\.hidden_update\.g4_conv\.(.*)", r"normal_update.projections.2.\1"),
        (r"decoder\.hidden_update\.transform\.(.*)", r"normal_update.gru.transform.\1"),
        (r"decoder\.fuser\.attention\.ChannelGate\.mlp\.1\.(.*)", r"decoder.compress.attention.channel.mlp.0.\1"),
        (r"decoder\.fuser\.attention\.ChannelGate\.mlp\.3\.(.*)", r"decoder.compress.attention.channel.mlp.2.\1"),
        (r"decoder\.fuser\.attention\.SpatialGate\.spatial\.conv\.(.*)",
         r"decoder.compress.attention.spatial.conv.\1"),
        (r"decoder\.fuser\.(.*)", r"decoder.compress.\1"),
        *(rule for rule in STCNConverter.rules if "key_comp" not in rule[0]),
    )
    model_config = "xmem_r50.py"
