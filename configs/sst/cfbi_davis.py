# Table 3: CFBI on DAVIS alone, five frames that count. (SST's public options name three.)
_base_ = ["../cfbi_r101.py"]
data_root = "data"
davis = dict(_delete_=True, type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017", split="train",
             resolution="Full-Resolution")
train_dataloader = dict(dataset=dict(videos=davis))
clip = dict(length=7)
train_cfg = dict(max_iters=25_000, val_interval=2_500)
