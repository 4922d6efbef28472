# G-FRTM-fast* of Table 3: trained on YouTube-VOS alone, margin 0.5, original layers from those of FRTM-fast:
#   --cfg-options model.segmentor_weights=frtm_fast.pth
# An epoch is the 4,000 draws of YouTube-VOS: 500 iterations of 8 clips; 260 are 130,000.
_base_ = ["ytvos_r18.py"]
data_root = "data"
youtube_vos = dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2018, split="train")
model = dict(losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", m1=0.5)])
train_dataloader = dict(dataset=dict(
    _delete_=True, type="VideoClips", videos=youtube_vos, size=(480, 854),
    transforms=[dict(type="Resize", size=(480, 854))], max_objects=1, jump_rule="anywhere", min_pixels=100))
param_scheduler = [dict(type="MultiStepLR", milestones=[63_500, 127_000], gamma=0.1)]
train_cfg = dict(max_iters=130_000)
