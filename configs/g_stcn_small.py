# The small STCN behind a reuse gate, trained on from stcn_small; its masks at stride 8 are the scores:
#   --cfg-options model.segmentor_weights=stcn_small.pth
_base_ = ["stcn_small.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    translator=dict(type="RefineTranslator", hidden=48, norm=dict(type="GN")),
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss")])
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_iters=1_500)
clip = dict(length=4)
curriculum = []
