# A small STCN that learns from scratch on a CPU: keys at stride 8, GroupNorm, previous masks into the decoder, and a
# learnt locality prior. Every part is an option of the full-size model too.
norm = dict(type="GN", channels_per_group=16)
model = dict(
    type="STCN",
    preprocessor=dict(type="VOSPreprocessor", divisor=16),
    key_encoder=dict(
        type="KeyEncoder",
        backbone=dict(type="ResNet", depth=None, block="basic", blocks=(2, 2, 2), stem_channels=24, stem_kernel=5,
                      stem_pool=False, widths=(32, 64, 160), norm=norm),
        fusion=dict(type="TopDownFusion", channels=96), key_channels=64, context_channels=None),
    value_encoder=dict(
        type="ValueEncoder",
        backbone=dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=16, stem_kernel=5,
                      stem_pool=False, widths=(24, 48, 96), norm=norm),
        fusion=dict(type="TopDownFusion", channels=96),
        fuser=dict(type="ResidualFuser", channels=128, norm=norm)),
    matching_head=dict(type="L2Matching", prior=dict(type="LocalityPrior")),
    memory=dict(type="FrameBank", every=5, include_last=True, max_frames=12),
    decoder=dict(type="MaskDecoder", compress_channels=96, up_channels=(48,), previous_masks=True, norm=norm,
                 output_bias=-2.0),
    losses=[dict(type="BootstrappedCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="DiceLoss")])
