# Scores over the root of a head's channels, which the paper found harmful.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(scaled=True))
