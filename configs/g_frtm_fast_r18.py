# G-FRTM-fast: ResNet-18 and fewer iterations of the target models.
_base_ = ["_base_/runtime.py", "_base_/g_frtm_model.py", "_base_/davis_youtube.py", "_base_/schedules/reuse_260e.py"]
model = dict(segmentor=dict(
    backbone=dict(depth=18), memory=dict(count_first=True, init_iters=(5, 10, 10, 10), update_iters=(5,))))
