# Small CFBI and SST on a CPU: a reference frame, a previous frame and one that counts; later two, at the end three.
# Float32: at these sizes bf16 saves less than its conversions cost.
_base_ = ["small_from_scratch.py"]
optim_wrapper = dict(amp=None)
clip = dict(length=3, max_skip=2)
curriculum = [dict(begin=0.5, length=4), dict(begin=0.8, length=5, batch_size=3)]
train_cfg = dict(max_iters=1_400)
