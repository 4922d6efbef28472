# EfficientVIS with ResNet-50 on YouTube-VIS 2019. The paper starts from weights trained on COCO: convert them with
# tools/convert_checkpoint.py queryinst, and set load_from. Videos of 2019 have at most T = 36 frames, so a clip is a
# video and there are no pairs; efficientvis_r50_t9.py trains with them.
_base_ = ["_base_/runtime.py", "_base_/efficientvis_r50_model.py", "_base_/schedules/efficientvis_33e.py"]
data_root = "data/YouTubeVIS"
train_dataloader = dict(
    dataset=dict(type="VISClips", size=(360, 640), flip=0.0, pairs=False, max_tracks=10,
                 videos=dict(type="YouTubeVISDataset", data_root=data_root, split="train", year=2019)),
    batch_size=1, num_workers=4)
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="valid", year=2019)
test_evaluator = dict(type="YouTubeVISMetric")
test_session = dict(size=(360, 640))
