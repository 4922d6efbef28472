# Table 1: vanilla attention, the full loss.
_base_ = "small_full.py"
model = dict(matching_head=dict(deformable=None))
