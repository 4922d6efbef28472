# What all trainings share; every hook and its options: docs/training.md.
seed = 0
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(keep=2))
