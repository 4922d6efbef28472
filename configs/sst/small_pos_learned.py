# Learnt positions.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(position=dict(type="LearnedPosition")))
