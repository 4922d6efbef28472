# Half of the heads local, half strided: the other reading of the paper's separate heads.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="MixedHeadsAttention", parts=[
    dict(type="LocalAttention", h=8), dict(type="StridedAttention", h=8)])] * 2))
