# Frames whose masks were given stay in the buffer, beside the last three.
_base_ = ["../sst_small.py"]
model = dict(memory=dict(keep_prompts=True, max_prompts=4))
