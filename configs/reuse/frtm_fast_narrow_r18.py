# FRTM-fastR of Table 2: a narrower refiner instead of a gate. 56 channels are the multiply-accumulates of G-FRTM-fast at
# its reuse rate (0.475); the paper does not give them.
_base_ = ["frtm_fast_six_r18.py"]
model = dict(decoder=dict(channels=56))
