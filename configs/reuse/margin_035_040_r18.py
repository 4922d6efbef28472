# M(0.35, 0.4) of Fig. 9: margin of the target (m1), and of the difference that costs nothing (m2).
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", m1=0.35, m2=0.4)])
