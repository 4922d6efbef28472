# A student of the small DeAOT: its encoder, one layer of 48 channels instead of three of 64, and half of the decoder.
_base_ = "deaot_small_model.py"
model = dict(
    encoder=dict(channels=48),
    matching_head=dict(layers=1),
    decoder=dict(channels=64))
