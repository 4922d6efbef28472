# DAVIS and YouTube-VOS as FRTM and the reuse gate draw them: one object per clip, frames in random order from the
# whole video, 480x854 whatever the ratio, nothing else changed. 60 videos of DAVIS sixteen times beside 3,471 of
# YouTube-VOS are the published share of draws, 1,104 of 5,104.
data_root = "data"
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
youtube_vos = dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2018)
draws = dict(size=(480, 854), transforms=[dict(type="Resize", size=(480, 854))], max_objects=1, jump_rule="anywhere",
             min_pixels=100)
train_dataloader = dict(
    dataset=dict(
        type="MixedClips", repeats=[16, 1],
        datasets=[dict(type="VideoClips", videos=dict(split="train", **davis), **draws),
                  dict(type="VideoClips", videos=dict(split="train", **youtube_vos), **draws)]),
    batch_size=8, num_workers=4)
val_dataset = test_dataset = dict(split="val", **davis)
val_evaluator = test_evaluator = dict(type="DavisMetric")
