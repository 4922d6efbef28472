# A small EfficientVIS that learns from scratch on a CPU; every part is an option of the large one. For frames of about
# 96x160: three levels of stride 4, 8, 16, GroupNorm, crops of 7x7 for boxes and 8x8 for masks.
norm = dict(type="GN", channels_per_group=16)
dynamic_conv = dict(type="TemporalDynamicConv", hidden=16)
model = dict(
    type="EfficientVIS",
    num_classes=8,
    preprocessor=dict(type="VISPreprocessor", divisor=32),
    backbone=dict(type="ResNet", depth=None, block="basic", blocks=(1, 2, 2), stem_channels=24, stem_kernel=5,
                  widths=(32, 64, 128), norm=norm),
    neck=dict(type="FPN", channels=64),
    queries=dict(type="TrackletQueries", num_queries=6, time_shared=False),
    interaction=dict(
        attention=dict(type="FactorisedAttention", heads=4),
        head=dict(type="TrackletHead", ffn_channels=256, dynamic_conv=dynamic_conv),
        mask_head=dict(type="TrackletMaskHead", convs=2, norm=norm, size=8, dynamic_conv=dynamic_conv),
        roi=dict(type="PyramidRoIAlign", finest_scale=28, sampling_ratio=1)),
    num_interactions=3,
    clip_length=4,
    frame_chunk=None,
    correspondence=True,
    linker=dict(type="QueryLinking"))
