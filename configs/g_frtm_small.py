# The small FRTM behind a reuse gate, trained on from frtm_small (its checkpoint holds the backbone too):
#   --cfg-options model.segmentor_weights=frtm_small.pth
_base_ = ["frtm_small.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    translator=dict(type="RefineTranslator", norm=dict(type="GN", channels_per_group=8)),
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", weight=5.0)])
optim_wrapper = dict(optimizer=dict(lr=3e-3), paramwise_cfg=dict(custom_keys={
    "gate.": dict(decay_mult=0.0), "segmentor.": dict(lr_mult=0.0)}))
train_cfg = dict(max_iters=800)
clip = dict(length=4)
