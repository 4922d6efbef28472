# DeAOT-T behind a reuse gate. The objects of a group (ten at most) are one row and decide together: the group is
# compared by the mask of all of them, reused or computed as a whole, and a frame that starts objects is computed for
# all groups. Start from DeAOT-T with --cfg-options model.segmentor_weights=deaott.pth
_base_ = ["_base_/runtime.py", "_base_/deaot_model.py", "_base_/davis_youtube.py", "_base_/schedules/reuse_260e.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    translator=dict(type="RefineTranslator", hidden=64),
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss")])
