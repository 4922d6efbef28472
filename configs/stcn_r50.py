_base_ = ["_base_/stcn_r50_model.py"]
