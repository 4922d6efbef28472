# G-FRTM (Park et al., CVPR 2021): FRTM behind a reuse gate. tau sets how much is reused: --cfg-options model.tau=0.5
# The published tracker classifies the first frame once, so that updates come one frame earlier.
_base_ = ["_base_/runtime.py", "_base_/g_frtm_model.py", "_base_/davis_youtube.py", "_base_/schedules/reuse_260e.py"]
model = dict(segmentor=dict(memory=dict(count_first=True)))
