# XMem (Cheng and Schwing, 2022): ResNet-50 keys with shrinkage and selection, ResNet-18 values, sensory memory of 64
# channels, working and long-term memory.
model = dict(
    type="XMem",
    preprocessor=dict(type="VOSPreprocessor", divisor=16),
    key_encoder=dict(type="KeyEncoder", backbone=dict(type="ResNet", depth=50), key_channels=64, context_channels=None,
                     anisotropic=True),
    value_encoder=dict(
        type="ValueEncoder",
        backbone=dict(type="ResNet", depth=18),
        fuser=dict(type="CBAMFuser", channels=512, image_first=True)),
    matching_head=dict(type="AnisotropicL2Matching", top_k=30),
    memory=dict(type="LongTermMemory", every=5, max_mid_term_frames=10, min_mid_term_frames=5,
                max_long_term_elements=10_000, num_prototypes=128),
    decoder=dict(type="MaskDecoder", fuser=dict(type="CBAMFuser", image_first=True), compress_channels=512,
                 up_channels=(256, 256)),
    normal_update=dict(type="MultiScaleUpdate", mid_channels=256),
    deep_update=dict(type="SensoryGRU"),
    sensory_channels=64,
    losses=[dict(type="BootstrappedCE", start_warm=20_000, end_warm=70_000, top_p=0.15), dict(type="DiceLoss")])
