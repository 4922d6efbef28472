# The recipe of stcn_lite with real pictures: the training sequences of a DAVIS tree, and still pictures with masks
# (data_root/DAVIS, data_root/static/SET; docs/data_and_weights.md). The last stage of the backbone is trained too.
_base_ = ["stcn_lite.py"]
data_root = "data"
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
stills = dict(type="StaticImageClips", layout="folders", size=160, max_side=320, cache_mib=128)
model = dict(key_encoder=dict(backbone=dict(frozen_stages=2)))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type="MixedClips",
        datasets=[dict(type="SyntheticClips", size=(160, 160), max_objects=2, replay=0.75, pool=400,
                       options=dict(scale=(0.15, 0.6))),
                  dict(type="VideoClips", size=160, max_objects=2, cache_mib=256, jump_rule="distinct",
                       videos=dict(split="train", **davis)),
                  dict(data_root=f"{data_root}/static/ccp", **stills),
                  dict(data_root=f"{data_root}/static/coco128", ids=True, max_objects=2, min_pixels=256, **stills)]),
    weights=[0.35, 0.25, 0.25, 0.15])
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"key_encoder.backbone": dict(lr_mult=0.1)}))
test_dataset = dict(split="val", **davis)
