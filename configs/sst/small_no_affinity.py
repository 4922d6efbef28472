# No object affinity: the decoder sees features and the previous mask.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(affinity=False))
