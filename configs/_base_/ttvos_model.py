# TTVOS (Park, Venkatesh, Kwak, 2020) with ResNet-50 up to its third stage, whose last two blocks are dilated. Only that
# stage learns, batch norms included.
model = dict(
    type="TTVOS",
    preprocessor=dict(type="ReflectingPreprocessor", divisor=16),
    backbone=dict(type="ResNet", depth=50, multi_grid=(1, 1, 1, 1, 2, 2), frozen_stages=2, freeze_norm_stats=False),
    matching_head=dict(type="TemplateAttention"),
    decoder=dict(type="TTVOSDecoder"),
    losses=[dict(type="ObjectBCE"), dict(type="TransitionLoss"), dict(type="TemplateMaskLoss")])
