# SpVOS on the small STCN: learns from scratch on synthetic clips, on a CPU.
_base_ = ["stcn_small.py"]
model = dict(
    sparse=dict(conv=dict(type="TripleSparseConv", tau=1.0), where="QD", policy=dict(type="Mixed"),
                losses=[dict(type="SparsityLoss", target=0.1)]))
# Gates have to become sure within a few hundred iterations: else the more likely policy, which evaluation takes,
# computes much less than the policies that training draws.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={".gate.": dict(lr_mult=10.0)}))
