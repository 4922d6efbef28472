# A control: half of the frames, at random, are reused.
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(gate=dict(_delete_=True, type="RandomGate", rate=0.5), losses=[dict(type="DeltaLoss")])
