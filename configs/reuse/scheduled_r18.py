# A control: every other frame is full; nothing about the gate is learnt.
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(gate=dict(_delete_=True, type="ScheduledGate", every=2), losses=[dict(type="DeltaLoss")])
