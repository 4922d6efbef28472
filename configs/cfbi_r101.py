# CFBI, full size.
_base_ = ["_base_/runtime.py", "_base_/cfbi_r101_model.py"]
test_session = dict(max_long_side=1040)
