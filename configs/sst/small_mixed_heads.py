# Half of the heads local, half strided: the other reading of the paper's separate heads.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="MixedHeadsAttention", parts=[
    dict(type="LocalAttention", h=4), dict(type="StridedAttention", h=4)])] * 2))
