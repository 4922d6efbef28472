# The shipped model's recipe with real pictures: synthetic clips, the training sequences of a DAVIS tree, and still
# pictures with masks (see docs/data_and_weights.md for their layout): data_root/DAVIS, data_root/static/SET.
_base_ = ["stcn_lite.py"]
data_root = "data"
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type="MixedClips",
        datasets=[dict(type="SyntheticClips", size=(160, 160), max_objects=2, replay=0.75, pool=400),
                  dict(type="VideoClips", size=160, max_objects=2, cache_mib=256, jump_rule="distinct",
                       videos=dict(split="train", **davis)),
                  dict(type="StaticImageClips", data_root=f"{data_root}/static/ccp", layout="folders", size=160,
                       max_side=320, cache_mib=128),
                  dict(type="StaticImageClips", data_root=f"{data_root}/static/coco128", layout="folders", size=160,
                       max_side=320, cache_mib=64, ids=True, max_objects=2, min_pixels=256)]),
    weights=[0.35, 0.25, 0.25, 0.15])
test_dataset = dict(split="val", **davis)
