# TTVOS in three stages: warped saliency images, YouTube-VOS, DAVIS. Adam without decay at a constant rate, 100 epochs
# each, one object per clip, neighbouring annotated frames. An epoch is every image (15,447; 322 iterations), every
# video of YouTube-VOS (3,471; 145), and 90 clips of DAVIS (12). What stands outside of the stages is that of the last
# one. A video of DAVIS 2016 train comes five times where one of 2017 comes twice: about the published share of draws.
data_root = "data"
saliency = [
    dict(type="StaticImageClips", data_root=f"{data_root}/static/ecssd", layout="ECSSD"),
    dict(type="StaticImageClips", data_root=f"{data_root}/static/MSRA10K", layout="flat"),
    dict(type="StaticImageClips", data_root=f"{data_root}/static/HKU-IS", layout="HKU-IS"),
]
colour = dict(type="ColorJitter", brightness=0.25, contrast=0.25, saturation=0.25, hue=0.1)
grey = dict(type="RandomGrayscale", probability=0.1)
small, large = (240, 432), (480, 864)
warps = [grey, colour, dict(type="Resize", size=small),
         dict(type="ThinPlateSpline", points=5, scale=0.1, probability=1.0, inside_object=True, keep_first=True)]
moves = dict(type="RandomAffine", degrees=15, shear=15, scale=(0.75, 1.25), per_frame=False)
frames = [dict(grey, per_frame=True), dict(colour, per_frame=True)]
clips = dict(type="VideoClips", jump_rule="neighbours", reverse=0.0, max_objects=1)
youtube_vos = dict(
    videos=dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2019, split="train"), size=small,
    transforms=[*frames, dict(type="Resize", size=small), moves, dict(type="RandomFlip")], min_pixels=11, **clips)
davis = dict(
    size=large, min_pixels=26, **clips,
    transforms=[*frames, dict(type="Resize", size=large), dict(moves, degrees=30, shear=30), dict(type="RandomFlip")])
davis_2016 = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2016")
davis_2017 = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
train_dataloader = dict(
    dataset=dict(type="MixedClips", repeats=[5, 2],
                 datasets=[dict(videos=dict(split="train", **davis_2016), **davis),
                           dict(videos=dict(split="train", **davis_2017), **davis)]),
    batch_size=8, num_workers=4)
clip = dict(length=7)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-4, weight_decay=0.0), amp=None)
param_scheduler = []
train_cfg = dict(max_iters=1_200, val_interval=1_200)
val_dataset = test_dataset = dict(split="val", **davis_2017)
val_evaluator = test_evaluator = dict(type="DavisMetric")
stages = [
    dict(name="warped_images", max_iters=32_200, clip=dict(length=3), optim_wrapper=dict(optimizer=dict(lr=2e-4)),
         train_dataloader=dict(dataset=dict(datasets=[dict(image_set, transforms=warps) for image_set in saliency],
                                            repeats=[1, 1, 1]), batch_size=48),
         train_cfg=dict(val_interval=32_200)),
    dict(name="youtube_vos", max_iters=14_500, clip=dict(length=8), optim_wrapper=dict(optimizer=dict(lr=3e-4)),
         train_dataloader=dict(dataset=dict(datasets=[youtube_vos], repeats=[1]), batch_size=24),
         train_cfg=dict(val_interval=14_500)),
    dict(name="davis"),
]
