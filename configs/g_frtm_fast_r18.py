# G-FRTM-fast: ResNet-18 and fewer iterations of the target models.
_base_ = ["g_frtm_r101.py"]
model = dict(segmentor=dict(backbone=dict(depth=18), memory=dict(init_iters=(5, 10, 10, 10), update_iters=(5,))))
