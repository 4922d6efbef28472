# A small EfficientVIS from scratch on a CPU.
_base_ = ["small_from_scratch.py"]
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, begin=0, end=60),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.02, begin=0.3),
]
clip = dict(length=4, max_skip=2)
curriculum = []
