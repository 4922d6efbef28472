# DeAOT-T: one propagation layer, no long-term frames but those that start objects.
_base_ = ["_base_/runtime.py", "_base_/deaot_model.py"]
