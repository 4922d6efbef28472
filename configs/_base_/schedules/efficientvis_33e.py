# EfficientVIS, section 4.1: AdamW, 2.5e-5, 33 epochs, a tenth from the 27th on. The 2,238 training videos of
# YouTube-VIS 2019 with one clip on each of 4 GPUs are 559.5 iterations per epoch: 33 epochs are 18,464, 27 are 15,107.
# Decay, clipping and the smaller rate of the backbone are those of QueryInst.
# On one GPU the same updates need optim_wrapper.accumulative_counts=4, train_cfg.max_iters=73856 and
# param_scheduler.0.milestones=[60428].
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=2.5e-5, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1, decay_mult=1.0))),
    clip_grad=dict(max_norm=0.1),
    amp=None)
param_scheduler = [dict(type="MultiStepLR", milestones=[15_107], gamma=0.1)]
train_cfg = dict(max_iters=18_464)
clip = dict(length=36, max_skip=1)
