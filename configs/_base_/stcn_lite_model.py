# The small STCN on a pretrained EfficientNet-lite0 up to stride 16, whose finer levels are not trained.
_base_ = ["stcn_small_model.py"]
lite_mean, lite_std = (127 / 255,) * 3, (128 / 255,) * 3  # what the weights of EfficientNet-lite expect
model = dict(
    preprocessor=dict(mean=lite_mean, std=lite_std),
    key_encoder=dict(
        backbone=dict(_delete_=True, type="EfficientNetLite", last="c4", norm=dict(type="FrozenBN"), frozen_stages=2,
                      weights="imagenet")))
