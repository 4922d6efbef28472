# A small SST trained on YouTube-VOS, then on DAVIS.
_base_ = ["../sst_small.py"]
data_root = "data"
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017", split="train")
youtube = dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2019, split="train")
clips = dict(type="VideoClips", jump_rule="cfbi", transforms="cfbi", size=129, max_objects=2,
             min_pixels=20, first_pixels=40)
stages = [dict(name="youtube", train_dataloader=dict(dataset=dict(videos=youtube, **clips))),
          dict(name="davis", train_dataloader=dict(dataset=dict(videos=davis, **clips)))]
test_dataset = dict(data_root=f"{data_root}/DAVIS")
