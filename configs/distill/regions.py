# No annotation at all: regions of the pictures are the objects, of still images (.jpg: masks lie beside some) and of
# frames of videos.
_base_ = "../deformable_deaott_distilled.py"
task = dict(prompt="regions")
train_dataloader = dict(dataset=dict(datasets=[
    dict(type="UnlabelledClips", data_root="data/DAVIS/JPEGImages/480p",
         sequences="data/DAVIS/ImageSets/2017/train.txt"),
    dict(type="UnlabelledClips", data_root="data/YouTubeVOS/train/JPEGImages", skip_unit=4)]))
stages = [
    dict(name="static", max_iters=100_000, task=dict(feedback="teacher"), model=dict(labels_in_memory=1.0),
         train_dataloader=dict(dataset=dict(type="UnlabelledClips", data_root="data/static", stills=True,
                                            suffixes=[".jpg"], size=465, transforms="deaot")),
         optim_wrapper=dict(optimizer=dict(lr=4e-4, weight_decay=0.03),
                            paramwise_cfg=dict(custom_keys={"encoder.backbone": dict(lr_mult=0.145)})),
         train_cfg=dict(val_interval=10_000), default_hooks={{_base_.average}}),
    dict(name="main", model=dict(labels_in_memory=0.5), default_hooks={{_base_.average}}),
]
