# AOT-T (Yang et al., 2021): MobileNet-V2 at stride 16, identities of ten objects, one propagation layer.
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
    max_objects=10)
