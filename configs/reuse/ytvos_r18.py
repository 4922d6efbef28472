# G-FRTM-fast of Table 3: the model that was trained on DAVIS and YouTube-VOS, tested on the latter.
_base_ = ["../g_frtm_fast_r18.py"]
data_root = "data"
test_dataset = dict(_delete_=True, type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2018,
                    split="valid")
test_evaluator = dict(_delete_=True, type="YouTubeVOSMetric")
