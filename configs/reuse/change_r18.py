# A control: reuse where early features have changed little since the last full frame.
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(gate=dict(_delete_=True, type="ChangeGate"), losses=[dict(type="DeltaLoss")])
