# FRTM by the rules of its authors' second code, which gave 72.1 on YouTube-VOS 2018 (the first one: 69.5): another
# formula of the optimiser, bicubic up-sampling to the frame, objects merged once.
_base_ = ["frtm_r101.py"]
model = dict(protocol="youtube_vos", memory=dict(formula="fletcher_reeves", reset_direction=True),
             decoder=dict(upsampling="bicubic"))
