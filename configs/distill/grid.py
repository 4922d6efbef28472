# Control, not in the paper: the coarse grid of the deformable student without offsets.
_base_ = "../deformable_deaott_distilled.py"
model = dict(matching_head=dict(deformable=dict(offsets=False)))
