# Small CFBI and SST on a CPU: a reference frame, a previous frame and one that counts; two that count at the end.
# Float32: at these sizes bf16 saves less than its conversions cost.
_base_ = ["small_from_scratch.py"]
optim_wrapper = dict(amp=None)
clip = dict(length=3, max_skip=5)
curriculum = [dict(begin=0.6, length=4)]
train_cfg = dict(max_iters=1_600)
