# The small student with gated deformable attention, trained with labels.
_base_ = "deaot_small_student.py"
model = dict(matching_head=dict(deformable=dict(type="GatedDeformableAttention", grid_factor=2, groups=4)))
