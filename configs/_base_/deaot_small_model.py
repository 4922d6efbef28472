# A small DeAOT for a CPU: MobileNet-V2 up to stride 8, which is not trained, three layers of 64 channels.
mask_losses = [dict(type="BootstrappedCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="SoftJaccardLoss")]
model = dict(
    type="DeAOT",
    preprocessor=dict(type="ResizingPreprocessor", divisor=8),
    encoder=dict(
        type="ProjectedEncoder", channels=64,
        backbone=dict(type="MobileNetV2", output_stride=8, last="c4", norm=dict(type="FrozenBN"), frozen_stages=3)),
    identity_bank=dict(type="IdentityBank", norm=True),
    matching_head=dict(type="GatedPropagation", layers=3, radius=5, drop_path=0.0, dropout=0.0),
    memory=dict(type="LayeredBank", gap=5, train_gap=2),
    decoder=dict(type="FPNDecoder", context=False, channels=96),
    max_objects=4,
    labels_in_memory=0.4,
    losses=[*mask_losses, dict(type="ReferenceLoss", losses=mask_losses, until=0.5)])
