# Affinity is a distance, as CFBI's matching gives.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(score="distance"))
