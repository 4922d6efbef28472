# M(0.35, 0.4) of Fig. 9 on the small model: margin of the target, and of the difference that costs nothing.
_base_ = ["../g_frtm_small.py"]
model = dict(losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", m1=0.35, m2=0.4, weight=5.0)])
train_cfg = dict(max_iters=200)
