# M(0.7, 0.2) of Fig. 9: margin of the target (m1), and of the difference that costs nothing (m2).
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", m1=0.7, m2=0.2)])
