# A small CFBI trained on DAVIS.
_base_ = ["../cfbi_small.py"]
data_root = "data/DAVIS"
davis = dict(type="DavisDataset", data_root=data_root, year="2017", split="train")
train_dataloader = dict(dataset=dict(_delete_=True, type="VideoClips", videos=davis, jump_rule="cfbi",
                                     transforms="cfbi", size=129, max_objects=2, min_pixels=20, first_pixels=40))
test_dataset = dict(data_root=data_root)
