# TTVOS behind a reuse gate with a template matching of its own, which compares stride 8 and the mask of the last
# computed frame. What is kept and translated is the feature that short-term matching gives at stride 16. Start from
# TTVOS with --cfg-options model.segmentor_weights=ttvos_r50.pth
_base_ = ["_base_/runtime.py", "_base_/ttvos_model.py", "_base_/davis_youtube.py", "_base_/schedules/reuse_260e.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    translator=dict(type="RefineTranslator", hidden=64),
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss")])
