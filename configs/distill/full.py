# The distilled config itself, under the name of its row.
_base_ = "../deformable_deaott_distilled.py"
