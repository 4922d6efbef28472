# FRTM-fastR of Table 2: a narrower refiner instead of a gate. The paper gives no number; with 56 channels a frame costs
# what a mean frame of G-FRTM-fast does at its reuse rate (0.475).
_base_ = ["frtm_fast_six_r18.py"]
model = dict(decoder=dict(channels=56))
