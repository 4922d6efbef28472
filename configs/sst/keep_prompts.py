# Frames whose masks were given stay in the buffer, beside the last three.
_base_ = ["../sst_r101.py"]
model = dict(memory=dict(keep_prompts=True, max_prompts=4))
