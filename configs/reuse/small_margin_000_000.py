# M(0, 0) of Fig. 9 on the small model, as long as the others.
_base_ = ["../g_frtm_small.py"]
train_cfg = dict(max_iters=200)
