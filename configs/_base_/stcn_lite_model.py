# The small STCN on EfficientNet-lite0 up to stride 16 with ImageNet weights, none of which is trained: what is trained
# on synthetic pictures alone keeps features of real ones.
_base_ = ["stcn_small_model.py"]
lite_mean, lite_std = (127 / 255,) * 3, (128 / 255,) * 3  # what the weights of EfficientNet-lite expect
model = dict(
    preprocessor=dict(mean=lite_mean, std=lite_std),
    key_encoder=dict(
        backbone=dict(_delete_=True, type="EfficientNetLite", last="c4", norm=dict(type="FrozenBN"), frozen_stages=3,
                      weights="imagenet")))
