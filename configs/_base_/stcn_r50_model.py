# STCN (Cheng et al., 2021): ResNet-50 keys at stride 16, ResNet-18 values, CBAM fusion, decoder of STM.
model = dict(
    type="STCN",
    preprocessor=dict(type="VOSPreprocessor", divisor=16),
    key_encoder=dict(type="KeyEncoder", backbone=dict(type="ResNet", depth=50), key_channels=64, context_channels=512),
    value_encoder=dict(
        type="ValueEncoder",
        backbone=dict(type="ResNet", depth=18, bias=True),
        fuser=dict(type="CBAMFuser", channels=512)),
    matching_head=dict(type="L2Matching", top_k=20),
    memory=dict(type="FrameBank", every=5),
    decoder=dict(type="MaskDecoder", compress_channels=512, up_channels=(256, 256)),
    losses=[dict(type="BootstrappedCE", start_warm=20_000, end_warm=70_000, top_p=0.15)])
