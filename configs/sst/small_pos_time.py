# Positions in time alone.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(position=dict(type="SinusoidalPosition", axes=("t",))))
