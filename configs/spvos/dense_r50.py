# The non-sparse baseline of Tables I to III: trained and read as SpVOS, without static images.
_base_ = ["../spvos_r50.py"]
model = dict(sparse=None)
