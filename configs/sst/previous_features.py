# The decoder sees the previous embedding inside and outside of a slot too, as in CFBI.
_base_ = ["../sst_r101.py"]
model = dict(features=("embedding", "encoder", "previous"))
