# FRTM-fast* of Table 2: no gate, but trained as gates are: 8 clips of six frames, 5e-4, 165,880 iterations.
_base_ = ["../frtm_fast_r18.py"]
clip = dict(length=6)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[81_026, 162_052], gamma=0.1)]
train_cfg = dict(max_iters=165_880, val_interval=20_000)
