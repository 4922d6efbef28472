# Table 1: vanilla attention, the full loss.
_base_ = "../deformable_deaott_distilled.py"
model = dict(matching_head=dict(deformable=None))
