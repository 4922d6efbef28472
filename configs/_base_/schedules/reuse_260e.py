# Reuse gates: as FRTM, but 8 clips of six frames and 5e-4; the gate has no weight decay. 5,104 clips are 638
# iterations; 260 epochs are 165,880.
optim_wrapper = dict(
    optimizer=dict(type="Adam", lr=5e-4, weight_decay=1e-5, amsgrad=True),
    paramwise_cfg=dict(custom_keys={"gate.": dict(decay_mult=0.0)}),
    amp=None)
param_scheduler = [dict(type="MultiStepLR", milestones=[81_026, 162_052], gamma=0.1)]
train_cfg = dict(max_iters=165_880, val_interval=20_000)
clip = dict(length=6)
