"""Which convolutions of a method may become sparse."""

from ..backbones.sparse_convs import SparsePart

# STCN and its descendants (SpVOS, Tables I to III).
SPARSE_PARTS = {
    "Q": SparsePart("key encoder", per_frame=("*",), blocks=("key_encoder.backbone.*.*",),
                    outer=("key_encoder.backbone.*.downsample.*", "key_encoder.key_proj", "key_encoder.context_proj")),
    "D": SparsePart("decoder", per_frame=("*.skip_conv",), blocks=("decoder.*.conv?",),
                    outer=("decoder.*.downsample", "decoder.*.skip_conv", "decoder.pred")),
    "M": SparsePart("value encoder", blocks=("value_encoder.backbone.*.conv?", "value_encoder.fuser.*.conv?")),
}
# CFBI and SST: encoder and decoder; there is no value encoder.
PIXEL_PARTS = {
    "Q": SparsePart("encoder", per_frame=("*",), blocks=("encoder.backbone.*.*",),
                    outer=("encoder.backbone.*.downsample.*", "encoder.neck.*", "encoder.depthwise",
                           "encoder.pointwise")),
    "D": SparsePart("decoder", blocks=("decoder.blocks.*.conv?",),
                    outer=("decoder.blocks.*.downsample.*", "decoder.aspp.*", "decoder.fine.*", "decoder.refine.*",
                           "decoder.prehead_conv")),
}
# FRTM: nothing of it writes into a memory of maps.
FRTM_PARTS = {
    "Q": SparsePart("backbone", per_frame=("*",), blocks=("backbone.layer*",), outer=("backbone.*.downsample.*",)),
    "D": SparsePart("refiner", blocks=("decoder.*.block?.conv?",),
                    outer=("decoder.*.encoder.transform.*", "decoder.*.block?.proj", "decoder.head.conv?")),
}
# TTVOS: features at stride 4 are reduced once per frame.
TTVOS_PARTS = {
    "Q": SparsePart("backbone", per_frame=("*",), blocks=("backbone.layer*",), outer=("backbone.*.downsample.*",)),
    "D": SparsePart("decoder", per_frame=("decoder.reduce4",), blocks=("decoder.short_term", "decoder.blend*"),
                    outer=("decoder.reduce?",)),
}
