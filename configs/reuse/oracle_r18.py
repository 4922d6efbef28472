# g_IoU of Fig. 8 follows a table of IoUs. It is made of reference masks, video by video: plot_gate --gates oracle.
_base_ = ["../g_frtm_fast_r18.py"]
model = dict(gate=dict(_delete_=True, type="ScheduledGate", table={}), losses=[dict(type="DeltaLoss")])
