# EfficientVIS (Wu et al., CVPR 2022), section 4.1: ResNet-50 with FPN, N = 10 tracklet queries, M = 6 interactions,
# T = 36 frames. Every ablation of Table 1 is an option:
#   1a  interaction.attention.type   FactorisedAttention | SpatialAttention | TemporalAttention | JointAttention
#   1b  interaction.head.dynamic_conv.type and interaction.mask_head.dynamic_conv.type
#                                    TemporalDynamicConv | StillImageDynamicConv
#   1c  clip.length, clip_length     frames per clip in training, in inference
#   1d  linker.type                  QueryLinking | HandCraftedLinking
#   1e  correspondence               True | False, with train_dataloader.dataset.pairs=True
#   1f  queries.time_shared          False | True
#   1g  train_dataloader.dataset.short_sides, multi-scale training
#   1h  test_dataset.frame_stride    frame rate of the videos
model = dict(
    type="EfficientVIS",
    num_classes=40,
    preprocessor=dict(type="VISPreprocessor", divisor=32),
    backbone=dict(type="ResNet", depth=50, widths=(64, 128, 256, 512), frozen_stages=1),
    neck=dict(type="FPN", channels=256),
    queries=dict(type="TrackletQueries", num_queries=10, time_shared=False),
    interaction=dict(
        attention=dict(type="FactorisedAttention", heads=8),
        head=dict(type="TrackletHead", ffn_channels=2048, dynamic_conv=dict(type="TemporalDynamicConv", hidden=64)),
        mask_head=dict(type="TrackletMaskHead", convs=4, norm=dict(type="BN"),
                       dynamic_conv=dict(type="TemporalDynamicConv", hidden=64)),
        roi=dict(type="PyramidRoIAlign", sampling_ratio=2)),
    num_interactions=6,
    clip_length=36,
    frame_chunk=8,
    checkpointing=False,
    correspondence=True,
    linker=dict(type="QueryLinking", reinit_after=3),
    loss=dict(cls_weight=2.0, l1_weight=5.0, giou_weight=2.0, dice_weight=8.0, ce_weight=1.0))
