# FRTM-fast: ResNet-18 and fewer iterations.
_base_ = ["frtm_r101.py"]
model = dict(backbone=dict(depth=18), memory=dict(init_iters=(5, 10, 10, 10), update_iters=(5,)))
