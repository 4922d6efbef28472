# The small STCN on synthetic clips with the training sequences of a DAVIS tree mixed in, tested on its val split.
# `--data-root` is the DAVIS folder (JPEGImages/, Annotations/, ImageSets/). Some 24 minutes on two cores.
_base_ = ["stcn_small.py"]
data_root = "data/DAVIS"
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type="MixedClips",
        datasets=[dict(type="SyntheticClips", size=(160, 160), max_objects=2),
                  dict(type="VideoClips", size=160, max_objects=2, cache_mib=256, jump_rule="distinct",
                       videos=dict(type="DavisDataset", data_root=data_root, split="train", year="2017"))]),
    weights=[0.8, 0.2])
curriculum = [dict(begin=0.5, length=5, batch_size=3), dict(begin=0.75, weights=[0.6, 0.4])]
default_hooks = dict(ema=dict(momentum=0.004))
train_cfg = dict(max_iters=4_400)
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
