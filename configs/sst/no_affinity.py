# No object affinity: the decoder sees features and the previous mask.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(affinity=False))
