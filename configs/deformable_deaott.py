# DeAOT-T with gated deformable attention (section 3.2) in all three places of its propagation.
_base_ = "deaott.py"
model = dict(matching_head=dict(deformable=dict(type="GatedDeformableAttention", grid_factor=2, groups=4)))
