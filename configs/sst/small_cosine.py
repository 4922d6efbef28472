# Affinity is the cosine of an angle.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(score="cosine"))
