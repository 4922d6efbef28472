# The training of `make demo`: a few minutes on two cores.
_base_ = ["stcn_small.py"]
train_cfg = dict(max_iters=1_000)
