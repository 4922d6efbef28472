# The small STCN behind a reuse gate, trained on from stcn_small; its masks at stride 8 are the scores:
#   --cfg-options model.segmentor_weights=stcn_small.pth
# Frames of a clip are close together or far apart, as in frtm_small.
_base_ = ["stcn_small.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    translator=dict(type="RefineTranslator", hidden=48, norm=dict(type="GN")),
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", weight=5.0)])
clips = dict(type="SyntheticClips", size=(160, 160), max_objects=2)
train_dataloader = dict(dataset=dict(
    _delete_=True, type="MixedClips",
    datasets=[dict(options=dict(motion=0.3), **clips), dict(options=dict(motion=3.0), **clips)]))
optim_wrapper = dict(optimizer=dict(lr=3e-3), paramwise_cfg=dict(custom_keys={
    "gate.": dict(decay_mult=0.0), "segmentor.": dict(lr_mult=0.0)}))
train_cfg = dict(max_iters=800)
clip = dict(length=4, max_skip=3)
curriculum = []
