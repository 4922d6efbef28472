# XMem behind a reuse gate: the score is the mask of the last computed frame, and the translator works on 64 channels.
_base_ = ["_base_/runtime.py", "_base_/xmem_r50_model.py", "_base_/davis_youtube.py", "_base_/schedules/reuse_260e.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    translator=dict(type="RefineTranslator", hidden=64),
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss")])
