# Tested on YouTube-VOS, where every fourth frame is memorised (section IV-B.1).
_base_ = ["../spvos_r50.py"]
model = dict(memory=dict(every=4))
test_dataset = dict(_delete_=True, type="YouTubeVOSDataset", data_root="data/YouTubeVOS", year=2018, split="valid")
test_evaluator = dict(_delete_=True, type="YouTubeVOSMetric")
