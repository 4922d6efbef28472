"""Which convolutions of STCN and its descendants may become sparse (SpVOS, Tables I to III)."""

from ..backbones.sparse_convs import SparsePart

SPARSE_PARTS = {
    "Q": SparsePart("key encoder", per_frame=("*",), blocks=("key_encoder.backbone.*.*",),
                    outer=("key_encoder.backbone.*.downsample.*", "key_encoder.key_proj", "key_encoder.context_proj")),
    "D": SparsePart("decoder", per_frame=("*.skip_conv",), blocks=("decoder.*.conv?",),
                    outer=("decoder.*.downsample", "decoder.*.skip_conv", "decoder.pred")),
    "M": SparsePart("value encoder", blocks=("value_encoder.backbone.*.conv?", "value_encoder.fuser.*.conv?")),
}
