# Affinity is the cosine of an angle.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(score="cosine"))
