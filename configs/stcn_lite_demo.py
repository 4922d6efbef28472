# The training of `make demo`: some minutes on two cores, from the ImageNet weights of the backbone.
_base_ = ["stcn_lite.py"]
curriculum = []
default_hooks = dict(ema=dict(momentum=0.02))
train_cfg = dict(max_iters=400)
