# Small CFBI and SST from scratch on a CPU: a reference frame, a previous frame and three that count, as full size.
_base_ = ["small_from_scratch.py"]
clip = dict(length=5, max_skip=5)
curriculum = []
train_cfg = dict(max_iters=3_000)
