# No annotation at all: regions of the pictures are the objects. The folder of videos is that of the DAVIS layout.
_base_ = "small_full.py"
task = dict(prompt="regions")
train_dataloader = dict(dataset=dict(datasets=[
    dict(type="SyntheticClips", size=(129, 129)),
    dict(type="UnlabelledClips", data_root="data/synthetic/davis/JPEGImages/480p", size=129, cache_mib=256,
         sequences="data/synthetic/davis/ImageSets/2017/train.txt")]))
