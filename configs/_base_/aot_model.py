# AOT-T (Yang et al., 2021): MobileNet-V2 at stride 16, identities of ten objects, one propagation layer.
mask_losses = [dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, weight=0.5),
               dict(type="SoftJaccardLoss", weight=0.5)]
model = dict(
    type="AOT",
    preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(
        type="ProjectedEncoder", channels=256,
        backbone=dict(type="MobileNetV2", output_stride=16, norm=dict(type="FrozenBN"), frozen_stages=1)),
    identity_bank=dict(type="IdentityBank"),
    matching_head=dict(type="LongShortTermTransformer", layers=1, heads=8, radius=7),
    memory=dict(type="LayeredBank"),
    decoder=dict(type="FPNDecoder", context=True),
    max_objects=10,
    losses=[*mask_losses, dict(type="ReferenceLoss", losses=mask_losses)])
