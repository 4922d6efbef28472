# The small STCN, whose memory is read along routes of grid attention (SST, section 7).
_base_ = ["../stcn_small.py"]
model = dict(matching_head=dict(_delete_=True, type="RoutedMatching"))
