# Loss_Ngate of Table 2: a fixed rate of reuse instead of the IoU. The paper gives no rate.
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(losses=[dict(type="DeltaLoss"), dict(type="GateRateLoss", target=0.5)])
