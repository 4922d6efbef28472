# Table 3, with the dagger: SST on YouTube-VOS, then on DAVIS, with the rate of CFBI's paper (its config has 0.01).
_base_ = ["../sst_r101.py"]
data_root = "data"
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017", split="train",
             resolution="Full-Resolution")
stages = [
    dict(name="youtube"),
    dict(name="davis", clip=dict(length=7), optim_wrapper=dict(optimizer=dict(lr=0.006)),
         train_cfg=dict(max_iters=50_000, val_interval=5_000), train_dataloader=dict(dataset=dict(videos=davis)))]
