# A small network from scratch on a CPU. All but the warm-up are fractions of the run, so a child config sets
# train_cfg.max_iters alone to make it shorter or longer.
channels_last = True
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=2.0),
    no_decay=True,
    amp="auto")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, begin=0, end=60),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.02, begin=0.4),
]
train_cfg = dict(max_iters=4_000)
clip = dict(length=3, max_skip=5)
curriculum = [dict(begin=0.5, length=5, batch_size=3)]
