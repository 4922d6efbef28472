# Loss_Ngate of Table 2 on the small model: a fixed rate instead of the IoU.
_base_ = ["../g_frtm_small.py"]
model = dict(losses=[dict(type="DeltaLoss"), dict(type="GateRateLoss", target=0.5)])
