# SST, full size, on YouTube-VOS (Table 2 of SST). It begins with weights of DeepLabv3+:
# --cfg-options model.encoder.weights=deeplabv3plus.pth
_base_ = ["_base_/runtime.py", "_base_/sst_r101_model.py", "_base_/schedules/cfbi.py"]
