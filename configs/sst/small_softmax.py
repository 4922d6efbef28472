# Affinity is the weight of the attention, not its score.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(score="softmax"))
