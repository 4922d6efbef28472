# A small EfficientVIS from scratch on a CPU. All but the warm-up are fractions of the run, so train_cfg.max_iters alone
# makes it shorter or longer.
channels_last = True
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=2.0),
    no_decay=True,
    amp="bf16")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, begin=0, end=60),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.02, begin=0.3),
]
clip = dict(length=4, max_skip=2)
