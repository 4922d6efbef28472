# Main training of SpVOS, section IV-B.2: AdamW, decay 0.05, 160,000 iterations of 16 clips (4 GPUs, 4 clips each);
# 1e-6 to 2e-5 over 8,000 iterations, constant to 32,000, cosine back to 1e-6.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=2e-5, weight_decay=0.05),
    amp=None)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=8_000),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.05, begin=32_000, end=160_000),
]
train_cfg = dict(max_iters=160_000, val_interval=10_000)
clip = dict(length=3)
